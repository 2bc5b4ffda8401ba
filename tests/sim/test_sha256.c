/* SPDX-License-Identifier: MIT */
/* SHA-256 against the examples of FIPS 180-4, in one piece and in many. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sim/sha256.h"

static void digest_is(const char *data, size_t n, size_t piece, const char *want)
{
	char text[SHA256_TEXT];
	struct sha256 sha;

	sha256_init(&sha);
	for (size_t at = 0; at < n; at += piece)
		sha256_add(&sha, data + at, n - at < piece ? n - at : piece);
	sha256_text(&sha, text);
	assert_string_equal(text, want);
}

static void examples(void **state)
{
	static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	static char million[1000000];

	(void)state;
	digest_is("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_is("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	for (size_t piece = 1; piece <= 56; piece++)
		digest_is(two, 56, piece,
			  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	memset(million, 'a', sizeof(million));
	digest_is(million, sizeof(million), 4097,
		  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void more_may_follow(void **state)
{
	char text[SHA256_TEXT];
	struct sha256 sha;

	(void)state;
	sha256_init(&sha);
	sha256_add(&sha, "a", 1);
	sha256_text(&sha, text);
	sha256_add(&sha, "bc", 2);
	sha256_text(&sha, text);
	assert_string_equal(text,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(more_may_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
