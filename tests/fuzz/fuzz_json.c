/* SPDX-License-Identifier: MIT */
/* A snapshot file of any content: taken whole, or refused with one sentence that can be printed. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "view/json.h"

/* With its header: the same, and what was taken is written and read back. */
static void with_head(const uint8_t *data, size_t size)
{
	char error[VIEW_JSON_ERROR] = "";
	struct view_json_file file, back;
	struct text t;

	if (view_json_read_file((const char *)data, size, &file, error) < 0) {
		CHECK(*error && !file.info[0] && !file.address && !file.note);
		for (const char *s = error; *s; s++)
			CHECK(*s >= 0x20 && *s < 0x7f);
		return;
	}
	CHECK(file.passes >= 1 && file.passes <= VIEW_JSON_PASSES);
	text_init(&t);
	CHECK(view_json_write_file(&t, &file) == 0);
	CHECK(view_json_read_file(t.data, t.len, &back, error) == 0);
	CHECK(back.passes == file.passes && back.n[0] == file.n[0] && back.when == file.when);
	CHECK(back.addresses == file.addresses && back.notes == file.notes);
	CHECK(strcmp(back.host, file.host) == 0);
	view_json_file_free(&back);
	view_json_file_free(&file);
	text_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[VIEW_JSON_ERROR] = "";
	struct cpl_info *infos = NULL;
	size_t n = 0;

	if (view_json_read((const char *)data, size, &infos, &n, error) < 0) {
		CHECK(!infos);
		CHECK(*error);
		for (const char *s = error; *s; s++)
			CHECK(*s >= 0x20 && *s < 0x7f);
	}
	for (size_t i = 0; i < n; i++)
		CHECK(infos[i].state < CPL_STATES && infos[i].size == sizeof(infos[i]));
	free(infos);
	with_head(data, size);
	return 0;
}

/* Words of the format in any order, within the frame of a document. */
static size_t fresh(uint8_t *data, size_t max, uint64_t *seed)
{
	static const char *const words[] = {
		"\"state\": \"ESTABLISHED\"",
		"\"state\": 3",
		"\"snd_una\": 4294967295",
		"\"snd_una\": 4294967296",
		"\"local_port\": -1",
		"\"local_addr\": \"fe80::1\"",
		"\"derived\": [\"irs\"]",
		"\"irs\": 7",
		"\"timer_keep\": null",
		"\"program\": \"\\u0001x\"",
		"\"id\": \"18446744073709551615\"",
		"\"why\": \"cwnd\"",
		"{}",
		"[]",
	};
	static const char *const head[] = {
		"\"host\": \"a\"",
		"\"host\": 7",
		"\"boot\": \"0f8c\\u0007\"",
		"\"when\": 9223372036854775807",
		"\"when\": -1",
		"\"all_namespaces\": true",
		"\"addresses\": [\"10.0.0.1\", \"::1\"]",
		"\"addresses\": [\"x\"]",
		"\"notes\": [\"\\n\"]",
		"\"notes\": [[]]",
		"\"passes\": [{\"began\": 1, \"ended\": 2}]",
		"\"passes\": [{\"began\": 3, \"ended\": 2}]",
		"\"again\": [{}]",
		"\"later\": 1",
	};
	char *text = (char *)data;
	size_t n = 0;

	if (max < 1024)
		return 0;
	n += (size_t)sprintf(text, "{\"couplet\": 2, ");
	for (uint32_t k = rnd(seed, 4); k > 0; k--)
		n += (size_t)sprintf(text + n, "%s, ", head[rnd(seed, 14)]);
	n += (size_t)sprintf(text + n, "\"snapshots\": [{");
	for (uint32_t k = rnd(seed, 8); k > 0; k--)
		n += (size_t)sprintf(text + n, "%s%s", words[rnd(seed, 14)], k > 1 ? ", " : "");
	return n + (size_t)sprintf(text + n, "}]}");
}

/* Noise finds nothing here: mostly a sound input, now and then with some bytes changed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint64_t state = seed;

	if (!size || rnd(&state, 4))
		size = fresh(data, max, &state);
	return rnd(&state, 2) ? size : LLVMFuzzerMutate(data, size, max);
}
