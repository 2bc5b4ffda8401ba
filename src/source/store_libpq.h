/* SPDX-License-Identifier: MIT */
/*
 * The functions of libpq that the store uses. The library is opened when a PostgreSQL store is: it
 * brings a dozen others with it, which every start of couplet would pay for if it were linked.
 */
#ifndef SOURCE_STORE_LIBPQ_H
#define SOURCE_STORE_LIBPQ_H

#include <libpq-fe.h>

/* LIBPQ(member, function) */
#define LIBPQ_FUNCTIONS                                                                            \
	LIBPQ(connect, PQconnectdbParams)                                                          \
	LIBPQ(finish, PQfinish)                                                                    \
	LIBPQ(status, PQstatus)                                                                    \
	LIBPQ(error_message, PQerrorMessage)                                                       \
	LIBPQ(transaction_status, PQtransactionStatus)                                             \
	LIBPQ(conninfo_parse, PQconninfoParse)                                                     \
	LIBPQ(conninfo_free, PQconninfoFree)                                                       \
	LIBPQ(freemem, PQfreemem)                                                                  \
	LIBPQ(set_notice_processor, PQsetNoticeProcessor)                                          \
	LIBPQ(send_query_params, PQsendQueryParams)                                                \
	LIBPQ(set_single_row_mode, PQsetSingleRowMode)                                             \
	LIBPQ(exec, PQexec)                                                                        \
	LIBPQ(get_result, PQgetResult)                                                             \
	LIBPQ(result_status, PQresultStatus)                                                       \
	LIBPQ(result_error_field, PQresultErrorField)                                              \
	LIBPQ(result_error_message, PQresultErrorMessage)                                          \
	LIBPQ(clear, PQclear)                                                                      \
	LIBPQ(ntuples, PQntuples)                                                                  \
	LIBPQ(nfields, PQnfields)                                                                  \
	LIBPQ(ftype, PQftype)                                                                      \
	LIBPQ(getvalue, PQgetvalue)                                                                \
	LIBPQ(getlength, PQgetlength)                                                              \
	LIBPQ(getisnull, PQgetisnull)                                                              \
	LIBPQ(cmd_tuples, PQcmdTuples)                                                             \
	LIBPQ(put_copy_data, PQputCopyData)                                                        \
	LIBPQ(put_copy_end, PQputCopyEnd)

struct libpq {
#define LIBPQ(member, function) __typeof__(function) *member;
	LIBPQ_FUNCTIONS
#undef LIBPQ
};

#endif
