/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzzer's LLVMFuzzerTestOneInput() without libFuzzer, on a fixed cut of inputs: each file
 * of tests/fuzz/corpus/NAME/, then as many as asked for that are drawn from a seed, half of them
 * noise, half of them files of the corpus with a few bytes changed. Prints TAP. The input on which
 * it dies is left in out/check/NAME.input, for the fuzzer to repeat: out/fuzz/tests/fuzz/NAME FILE.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX 4096
#define SEEDS_MAX 256
#define RUNS	  8000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
						     unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

struct input {
	size_t size;
	uint8_t *data;
};

static struct input seeds[SEEDS_MAX];
static unsigned seeds_n;
static struct input now;
static char crash_path[256];
static uint64_t state = 9293;

__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

/* SplitMix64. */
static uint64_t draw(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void save(void)
{
	int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, now.data, now.size) < 0)
		perror(crash_path);
	else
		fprintf(stderr, "the input is in %s\n", crash_path);
}

static void on_abort(int signo)
{
	save();
	signal(signo, SIG_DFL);
	raise(signo);
}

/* The input is copied to memory of its very size, so that a byte read beyond it is seen. */
static void run(const uint8_t *data, size_t size)
{
	now.data = malloc(size ? size : 1);
	now.size = size;
	if (!now.data)
		abort();
	memcpy(now.data, data, size);
	LLVMFuzzerTestOneInput(now.data, size);
	free(now.data);
}

static void load(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[512];

	while (dir && seeds_n < SEEDS_MAX && (entry = readdir(dir))) {
		uint8_t buf[INPUT_MAX];
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
		if (!file)
			continue;
		seeds[seeds_n].size = fread(buf, 1, sizeof(buf), file);
		seeds[seeds_n].data = malloc(sizeof(buf));
		if (!seeds[seeds_n].data)
			abort();
		memcpy(seeds[seeds_n].data, buf, seeds[seeds_n].size);
		seeds_n++;
		fclose(file);
	}
	if (dir)
		closedir(dir);
}

/* What libFuzzer offers to a mutator: here, a few bytes changed, and the end moved at times. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
{
	size_t new_size = draw() % 4 ? size : draw() % (size + 16);

	if (new_size > max)
		new_size = max;
	for (size_t i = size; i < new_size; i++)
		data[i] = (uint8_t)draw();
	for (uint64_t n = draw() % 8; new_size && n; n--)
		data[draw() % new_size] = (uint8_t)draw();
	return new_size;
}

/* The next input, in place of the one of SIZE bytes in BUF. */
static size_t next(uint8_t *buf, size_t size)
{
	uint64_t choice = draw() % 16;

	if (choice == 0) {
		size = draw() % 256;
		for (size_t i = 0; i < size; i++)
			buf[i] = (uint8_t)draw();
		return size;
	}
	if (choice < 4 && seeds_n) {
		const struct input *seed = &seeds[draw() % seeds_n];

		memcpy(buf, seed->data, seed->size);
		size = seed->size;
	}
	if (LLVMFuzzerCustomMutator)
		return LLVMFuzzerCustomMutator(buf, size, INPUT_MAX, (unsigned)draw());
	return LLVMFuzzerMutate(buf, size, INPUT_MAX);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	long runs = argc > 1 ? atol(argv[1]) : RUNS;
	uint8_t buf[INPUT_MAX];
	size_t size = 0;
	char folder[256];

	snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", name);
	snprintf(crash_path, sizeof(crash_path), "out/check/%s.input", name);
	signal(SIGABRT, on_abort);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(save);
	printf("1..2\n");
	load(folder);
	for (unsigned i = 0; i < seeds_n; i++)
		run(seeds[i].data, seeds[i].size);
	printf("ok 1 - %s: %u inputs of the corpus\n", name, seeds_n);
	fflush(stdout);
	for (long i = 0; i < runs; i++) {
		size = next(buf, size);
		run(buf, size);
	}
	printf("ok 2 - %s: %ld inputs drawn from a seed\n", name, runs);
	for (unsigned i = 0; i < seeds_n; i++)
		free(seeds[i].data);
	return 0;
}
