/* SPDX-License-Identifier: MIT */
/*
 * The client of the control socket against servers that lie, and against one of another version of
 * struct cpl_info, whose fields lie elsewhere.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/control_client.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What the server does wrong. */
enum lie {
	LIE_NONE,
	LIE_MAGIC,
	LIE_VERSION,
	LIE_SILENT_CLOSE,
	LIE_TOO_LONG,
	LIE_CUT_OFF,
	LIE_TYPE,
	LIE_HALF_RECORD,
	LIE_EMPTY,
	LIE_STATUS,
	LIE_TWO_HELLOS,
	LIE_NO_HELLO,
	LIE_HELLO_TEXT,
	LIE_INFO_HUGE,
	LIE_INFO_TINY,
	LIE_RECORD_SIZE,
	LIE_TEXT,
	LIE_FIELD_OFFSET,
	LIE_FIELD_BIT,
	LIE_FIELD_NAME,
	LIE_COUNTER_NAME,
};

static enum lie lie;
static bool other_version;
static char path[100], dir[64];
static int listener;
static pthread_t thread;
static struct link_why why;

/* The record of the other version: fields in another order, some missing, some that we do not know.
 */
struct other_info {
	uint32_t size, version;
	uint64_t read[1], derived[1];
	uint8_t news[5];
	char cc_name[16];
	uint64_t id;
	uint32_t snd_una;
	uint64_t local_port; /* of another size: not ours */
	uint8_t state;
};

static void tell(int fd, uint16_t type, const void *body, uint32_t len, int status)
{
	struct control_msg m = { .magic = CONTROL_MAGIC,
				 .version = CONTROL_VERSION,
				 .type = type,
				 .len = len,
				 .status = status };

	if (lie == LIE_MAGIC)
		m.magic ^= 1;
	if (lie == LIE_VERSION)
		m.version++;
	if (type != CONTROL_HELLO) {
		if (lie == LIE_TOO_LONG)
			m.len = CONTROL_LEN_MAX + 1;
		if (lie == LIE_CUT_OFF)
			m.len += 100;
		if (lie == LIE_TYPE && type != CONTROL_END)
			m.type = CONTROL_TRACE;
		if (lie == LIE_HALF_RECORD && type != CONTROL_END)
			m.len = len -= 1;
		if (lie == LIE_EMPTY && type != CONTROL_END)
			m.len = len = 0;
	}
	send(fd, &m, sizeof(m), MSG_NOSIGNAL);
	send(fd, body, len, MSG_NOSIGNAL);
}

static void tell_hello(int fd)
{
	struct control_hello h = { .pid = 1,
				   .info_size = sizeof(struct cpl_info),
				   .info_version = CPL_INFO_VERSION,
				   .info_words = CPL_INFO_WORDS,
				   .name = "liar" };

	if (other_version) {
		h.info_size = sizeof(struct other_info);
		h.info_version = CPL_INFO_VERSION + 1;
		h.info_words = 1;
	}
	if (lie == LIE_HELLO_TEXT)
		memset(h.name, 'x', sizeof(h.name));
	if (lie == LIE_INFO_HUGE)
		h.info_size = UINT32_MAX;
	if (lie == LIE_INFO_TINY)
		h.info_size = 20;
	tell(fd, CONTROL_HELLO, &h, sizeof(h), 0);
	if (lie == LIE_TWO_HELLOS)
		tell(fd, CONTROL_HELLO, &h, sizeof(h), 0);
}

static void tell_fields(int fd)
{
	struct control_field f[] = {
		{ "news", 0, offsetof(struct other_info, news), 5, 0 },
		{ "cc_name", 1, offsetof(struct other_info, cc_name), 16, 0 },
		{ "id", 2, offsetof(struct other_info, id), 8, 0 },
		{ "snd_una", 3, offsetof(struct other_info, snd_una), 4, 0 },
		{ "local_port", 4, offsetof(struct other_info, local_port), 8, 0 },
		{ "state", 5, offsetof(struct other_info, state), 1, 0 },
	};

	if (lie == LIE_FIELD_OFFSET)
		f[2].offset = sizeof(struct other_info) - 7;
	if (lie == LIE_FIELD_BIT)
		f[2].number = 64;
	if (lie == LIE_FIELD_NAME)
		memset(f[2].name, 'x', sizeof(f[2].name));
	tell(fd, CONTROL_FIELDS, f, sizeof(f), 0);
}

static void tell_info(int fd)
{
	struct cpl_info info[2] = { { .size = sizeof(info[0]), .version = CPL_INFO_VERSION } };
	struct other_info other = { .size = sizeof(other),
				    .version = CPL_INFO_VERSION + 1,
				    .read = { 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 },
				    .derived = { 1 << 3 },
				    .cc_name = "bbr",
				    .id = 77,
				    .snd_una = 0xfffffff0,
				    .local_port = 443,
				    .state = CPL_LISTEN };

	CPL_INFO_READ(&info[0], id, 77);
	memset(info[0].cc_name, lie == LIE_TEXT ? 'x' : 0, sizeof(info[0].cc_name));
	info[1] = info[0];
	if (lie == LIE_RECORD_SIZE)
		other.size = info[1].size = 8;
	if (other_version)
		tell(fd, CONTROL_INFO, &other, sizeof(other), 0);
	else
		tell(fd, CONTROL_INFO, info, sizeof(info), 0);
}

static void tell_counters(int fd)
{
	struct control_counter c = { .value = 5 };

	memset(c.name, lie == LIE_COUNTER_NAME ? 'x' : 0, sizeof(c.name));
	tell(fd, CONTROL_COUNTERS, &c, sizeof(c), 0);
}

static void *serve(void *arg)
{
	int fd = accept(listener, NULL, NULL);
	struct control_msg m;

	while (recv(fd, &m, sizeof(m), MSG_WAITALL) == (ssize_t)sizeof(m)) {
		if (lie == LIE_SILENT_CLOSE)
			break;
		if (m.type == CONTROL_HELLO && lie != LIE_NO_HELLO)
			tell_hello(fd);
		if (m.type == CONTROL_FIELDS)
			tell_fields(fd);
		if (m.type == CONTROL_LIST || m.type == CONTROL_GET)
			tell_info(fd);
		if (m.type == CONTROL_COUNTERS)
			tell_counters(fd);
		tell(fd, CONTROL_END, NULL, 0, lie == LIE_STATUS ? 1 : 0);
		if (lie == LIE_CUT_OFF)
			break;
	}
	close(fd);
	return arg;
}

static int setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	strcpy(dir, "/tmp/couplet-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/1.liar.sock", dir);
	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	lie = LIE_NONE;
	other_version = false;
	return bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 5);
}

static int teardown(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	return rmdir(dir);
}

static int take_info(void *arg, const struct cpl_info *info)
{
	*(struct cpl_info *)arg = *info;
	return 0;
}

static int take_counter(void *arg, const char *name, uint64_t value)
{
	(void)arg, (void)name, (void)value;
	return 0;
}

/* What a client makes of it: connects, lists, counts. The first error. */
static int try(struct cpl_info *info)
{
	struct control_client *c = NULL;
	int err;

	pthread_create(&thread, NULL, serve, NULL);
	err = control_connect(&c, path, &why);
	if (!err)
		err = control_list(c, take_info, info);
	if (!err)
		err = control_get(c, 77, info);
	if (!err)
		err = control_counters(c, take_counter, NULL);
	control_disconnect(err && !c ? NULL : c);
	pthread_join(thread, NULL);
	return err;
}

static void test_lies(void **state)
{
	static const struct {
		enum lie lie;
		bool other;
		int want;
	} cases[] = {
		{ LIE_NONE, false, 0 },
		{ LIE_NONE, true, 0 },
		{ LIE_MAGIC, false, -EPROTO },
		{ LIE_VERSION, false, -EPROTONOSUPPORT },
		{ LIE_SILENT_CLOSE, false, -ECONNRESET },
		{ LIE_TOO_LONG, false, -EPROTO },
		{ LIE_CUT_OFF, false, -ECONNRESET },
		{ LIE_TYPE, false, -EPROTO },
		{ LIE_HALF_RECORD, false, -EPROTO },
		{ LIE_EMPTY, false, -EPROTO },
		{ LIE_STATUS, false, -EPROTO },
		{ LIE_TWO_HELLOS, false, -EPROTO },
		{ LIE_NO_HELLO, false, -EPROTO },
		{ LIE_HELLO_TEXT, false, -EPROTO },
		{ LIE_INFO_HUGE, false, -EPROTO },
		{ LIE_INFO_TINY, true, -EPROTO },
		{ LIE_RECORD_SIZE, false, -EPROTO },
		{ LIE_RECORD_SIZE, true, -EPROTO },
		{ LIE_FIELD_OFFSET, true, -EPROTO },
		{ LIE_FIELD_BIT, true, -EPROTO },
		{ LIE_FIELD_NAME, true, -EPROTO },
		{ LIE_COUNTER_NAME, false, -EPROTO },
	};
	struct cpl_info info;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int err;

		lie = cases[i].lie;
		other_version = cases[i].other;
		err = try(&info);
		if (err != cases[i].want)
			fail_msg("case %u: %d, not %d", i, err, cases[i].want);
	}
	lie = LIE_TEXT;
	other_version = false;
	assert_int_equal(try(&info), 0);
	assert_int_equal(info.cc_name[15], '\0');
}

static void test_other_version(void **state)
{
	struct cpl_info info;

	(void)state;
	other_version = true;
	assert_int_equal(try(&info), 0);
	assert_int_equal(info.size, sizeof(info));
	assert_int_equal(info.version, CPL_INFO_VERSION);
	assert_true(cpl_info_is_read(&info, CPL_F_id));
	assert_int_equal(info.id, 77);
	assert_true(cpl_info_is_derived(&info, CPL_F_snd_una));
	assert_false(cpl_info_is_read(&info, CPL_F_snd_una));
	assert_int_equal(info.snd_una, 0xfffffff0);
	assert_string_equal(info.cc_name, "bbr");
	assert_true(cpl_info_is_read(&info, CPL_F_cc_name));
	/* not marked by the server */
	assert_false(cpl_info_known(&info, CPL_F_state));
	/* of another size, or not there at all */
	assert_false(cpl_info_known(&info, CPL_F_local_port));
	assert_false(cpl_info_known(&info, CPL_F_cwnd));
}

static void test_no_server(void **state)
{
	struct control_client *c;
	char long_path[200];

	(void)state;
	close(listener);
	assert_int_equal(control_connect(&c, path, &why), -ECONNREFUSED);
	assert_non_null(strstr(why.text, path));
	unlink(path);
	assert_int_equal(control_connect(&c, path, &why), -ENOENT);
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(control_connect(&c, long_path, &why), -ENAMETOOLONG);
	/* for teardown */
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
}

/* One that accepts, and never answers. */
static void test_patience(void **state)
{
	struct control_client *c;

	(void)state;
	assert_int_equal(control_connect(&c, path, &why), -ETIMEDOUT);
	assert_non_null(strstr(why.text, "does not answer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patience, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
