/* SPDX-License-Identifier: MIT */
/*
 * The control socket: what is asked is told, a bounded part at a time; who sends nonsense, or
 * nothing, or does not read, disturbs nobody. The client's own distrust is tested in
 * test_control_client.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/control_client.h"
#include "tests/host/fakestack.h"

static struct cpl_stack stack;
static struct control *control;
static struct control_client *client;
static struct link_why why;
static char dir[64];
static pthread_t thread;
static atomic_bool stop;
static atomic_ulong now = CPL_SECOND;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/couplet-test-XXXXXX");
	stack = (struct cpl_stack){ .conns = 1000 };
	return mkdtemp(dir) ? control_open(&control, &stack, dir, "lab", &why) : -1;
}

static int teardown(void **state)
{
	(void)state;
	control_disconnect(client);
	client = NULL;
	control_close(control);
	control = NULL;
	return rmdir(dir); /* fails if something was left behind */
}

/* The loop of the stack, in a thread of its own. */
static void *serve(void *arg)
{
	while (!atomic_load(&stop)) {
		struct pollfd p = { .fd = control_fd(control), .events = POLLIN };

		poll(&p, 1, 20);
		control_serve(control, atomic_load(&now));
	}
	return arg;
}

static void start(void)
{
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void end(void)
{
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

static void connect_client(void)
{
	if (control_connect(&client, control_path(control), &why))
		fail_msg("%s", why.text);
}

/* ---- What is asked -------------------------------------------------------------------------- */

static uint64_t seen;

static int check_info(void *arg, const struct cpl_info *info)
{
	struct cpl_info want;

	(void)arg;
	fake_info(++seen, &want);
	assert_int_equal(info->id, seen);
	/* what the stack did not know of the owner, the process does */
	assert_int_equal(info->pid, seen % 2 ? 7 : (uint32_t)getpid());
	assert_int_equal(info->uid, geteuid());
	assert_true(cpl_info_is_read(info, CPL_F_program));
	assert_string_equal(info->program, control_server(client)->program);
	CPL_INFO_READ(&want, pid, info->pid);
	CPL_INFO_READ(&want, uid, info->uid);
	CPL_INFO_READ(&want, netns, info->netns);
	memcpy(want.program, info->program, sizeof(want.program));
	cpl_info_mark_read(&want, CPL_F_program);
	assert_memory_equal(info, &want, sizeof(want));
	return 0;
}

static void test_list(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 31, 32, 33, 128, 129, 5000 };

	(void)state;
	start();
	connect_client();
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		stack.conns = sizes[i];
		seen = 0;
		assert_int_equal(control_list(client, check_info, NULL), 0);
		assert_int_equal(seen, sizes[i]);
	}
	end();
}

static int stop_at_ten(void *arg, const struct cpl_info *info)
{
	(void)arg;
	return info->id == 10 ? 77 : 0;
}

static void test_visit_ends(void **state)
{
	(void)state;
	start();
	connect_client();
	assert_int_equal(control_list(client, stop_at_ten, NULL), 77);
	end();
}

static void test_get(void **state)
{
	struct cpl_info info;

	(void)state;
	start();
	connect_client();
	assert_int_equal(control_get(client, 42, &info), 0);
	assert_int_equal(info.id, 42);
	assert_int_equal(info.snd_una, (uint32_t)(42 * 2654435761u));
	assert_int_equal(control_get(client, 1001, &info), -EBADF);
	/* the connection goes on */
	assert_int_equal(control_get(client, 1000, &info), 0);
	assert_int_equal(control_server(client)->pid, getpid());
	assert_string_equal(control_server(client)->name, "lab");
	assert_string_equal(control_server(client)->couplet, CPL_VERSION);
	end();
}

static int check_counter(void *arg, const char *name, uint64_t value)
{
	unsigned *n = arg;

	if (*n == 0)
		assert_string_equal(name, "frames_in");
	assert_int_equal(value, stack.conns + *n);
	++*n;
	return 0;
}

static void test_counters(void **state)
{
	unsigned n = 0;

	(void)state;
	start();
	connect_client();
	assert_int_equal(control_counters(client, check_counter, &n), 0);
	assert_int_equal(n, (sizeof(struct cpl_counters) - 8) / 8);
	end();
}

static int check_trace(void *arg, const struct cpl_trace *record)
{
	uint64_t *next = arg;

	assert_int_equal(record->time, *next);
	++*next;
	return 0;
}

static void test_trace(void **state)
{
	uint64_t cursor = 0, lost, next = 100;

	(void)state;
	stack.trace_first = 100;
	stack.trace_end = 5000;
	start();
	connect_client();
	assert_int_equal(control_trace(client, &cursor, &lost, check_trace, &next), 0);
	assert_int_equal(lost, 100);
	assert_int_equal(next, 5000);
	assert_int_equal(cursor, 5000);
	stack.trace_end = 5003;
	assert_int_equal(control_trace(client, &cursor, &lost, check_trace, &next), 0);
	assert_int_equal(lost, 0);
	assert_int_equal(next, 5003);
	/* one answer ends, though the stack may go on writing */
	stack.trace_end = 1 << 20;
	assert_int_equal(control_trace(client, &cursor, &lost, check_trace, &next), 0);
	assert_int_equal(next, cursor);
	assert_true(next < 1 << 20);
	end();
}

/* ---- Who does not behave -------------------------------------------------------------------- */

static int raw_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, control_path(control));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void turns(unsigned n)
{
	while (n--)
		control_serve(control, atomic_load(&now));
}

static bool is_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

static struct control_msg ask(uint16_t type)
{
	return (struct control_msg){ .magic = CONTROL_MAGIC,
				     .version = CONTROL_VERSION,
				     .type = type };
}

static void test_bad_requests(void **state)
{
	struct control_msg m, answer;
	int fd;

	(void)state;
	m = ask(CONTROL_LIST);
	m.magic++;
	fd = raw_connect();
	send(fd, &m, sizeof(m), 0);
	turns(3);
	assert_true(is_closed(fd));
	close(fd);

	m = ask(CONTROL_LIST);
	m.len = 1;
	fd = raw_connect();
	send(fd, &m, sizeof(m), 0);
	turns(3);
	assert_true(is_closed(fd));
	close(fd);

	/* what is understood but not spoken gets an answer */
	for (unsigned i = 0; i < 2; i++) {
		m = ask(i ? 999 : CONTROL_LIST);
		m.version = i ? CONTROL_VERSION : CONTROL_VERSION + 1;
		fd = raw_connect();
		send(fd, &m, sizeof(m), 0);
		turns(3);
		assert_int_equal(recv(fd, &answer, sizeof(answer), 0), sizeof(answer));
		assert_int_equal(answer.type, CONTROL_END);
		assert_int_equal(answer.status, i ? -EOPNOTSUPP : -EPROTONOSUPPORT);
		close(fd);
	}
	turns(3);
}

/* A request in pieces, and noise. */
static void test_pieces_and_noise(void **state)
{
	struct control_msg m = ask(CONTROL_HELLO), answer;
	int fd = raw_connect();

	(void)state;
	for (size_t i = 0; i < sizeof(m); i++) {
		assert_int_equal(recv(fd, &answer, 1, MSG_DONTWAIT), -1);
		send(fd, (char *)&m + i, 1, 0);
		turns(2);
	}
	assert_int_equal(recv(fd, &answer, sizeof(answer), 0), sizeof(answer));
	assert_int_equal(answer.type, CONTROL_HELLO);
	close(fd);
	srand(9);
	for (unsigned k = 0; k < 300; k++) {
		uint8_t noise[200];
		size_t n = 1 + (size_t)rand() % sizeof(noise);

		for (size_t i = 0; i < n; i++)
			noise[i] = (uint8_t)rand();
		if (k % 2 && n >= sizeof(m)) {
			m = ask((uint16_t)(rand() % 10));
			m.arg = (uint64_t)rand();
			memcpy(noise, &m, sizeof(m));
		}
		fd = raw_connect();
		assert_true(send(fd, noise, n, MSG_NOSIGNAL) > 0);
		turns((unsigned)rand() % 5);
		close(fd);
	}
	turns(3);
}

/* One turn tells no more than a bounded number of records, whoever asks for how many. */
static void test_bounded_turn(void **state)
{
	struct control_msg m = ask(CONTROL_LIST);
	char sink[65536];
	int fds[8];
	unsigned total = 0;

	(void)state;
	stack.conns = 20000;
	for (unsigned i = 0; i < 8; i++) {
		fds[i] = raw_connect();
		send(fds[i], &m, sizeof(m), 0);
	}
	turns(8);
	for (unsigned k = 0; k < 1000; k++) {
		stack.walked = 0;
		turns(1);
		assert_true(stack.walked <= 32 + 32);
		total += stack.walked;
		for (unsigned i = 0; i < 8; i++)
			while (recv(fds[i], sink, sizeof(sink), MSG_DONTWAIT) > 0)
				;
	}
	assert_true(total > 20000);
	/* nobody reads: nothing more is told, and nothing waits */
	turns(1000);
	stack.walked = 0;
	turns(1000);
	assert_int_equal(stack.walked, 0);
	for (unsigned i = 0; i < 8; i++)
		close(fds[i]);
	turns(3);
}

static void test_crowd(void **state)
{
	int fds[9];

	(void)state;
	for (unsigned i = 0; i < 9; i++) {
		fds[i] = raw_connect();
		turns(2);
		atomic_fetch_add(&now, CPL_SECOND / 100);
	}
	/* eight are served; the ninth is sent away as long as none is idle for long */
	assert_true(is_closed(fds[8]));
	assert_false(is_closed(fds[0]));
	close(fds[8]);
	atomic_fetch_add(&now, 6 * CPL_SECOND);
	fds[8] = raw_connect();
	turns(2);
	assert_true(is_closed(fds[0]));
	assert_false(is_closed(fds[8]));
	assert_false(is_closed(fds[1]));
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
	turns(3);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void test_modes(void **state)
{
	static const char *const bad[] = { "",	  "a/b", "..",
					   "a b", "x.y", "01234567890123456789012345678901" };
	char open_dir[80], path[200];
	struct control *other;
	struct stat st;

	(void)state;
	assert_int_equal(stat(control_path(control), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(path, sizeof(path), "%s/%d.lab.sock", dir, (int)getpid());
	assert_string_equal(control_path(control), path);
	assert_int_equal(control_open(&other, &stack, dir, "lab", &why), -EADDRINUSE);
	assert_int_equal(stat(path, &st), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(control_open(&other, &stack, dir, bad[i], &why), -EINVAL);
	/* others could put a socket of theirs there */
	snprintf(open_dir, sizeof(open_dir), "%s/open", dir);
	assert_int_equal(mkdir(open_dir, 0777), 0);
	assert_int_equal(chmod(open_dir, 0777), 0);
	assert_int_equal(control_open(&other, &stack, open_dir, "lab", &why), -EACCES);
	assert_non_null(strstr(why.text, open_dir));
	rmdir(open_dir);
	/* it is made where it is not */
	assert_int_equal(control_open(&other, &stack, open_dir, "lab", &why), 0);
	assert_int_equal(stat(open_dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	control_close(other);
	assert_int_equal(rmdir(open_dir), 0);
}

static int count(void *arg, const struct control_entry *e)
{
	unsigned *n = arg;

	assert_string_equal(e->path, control_path(control));
	assert_int_equal(e->pid, getpid());
	assert_string_equal(e->name, "lab");
	++*n;
	return 0;
}

static int end_walk(void *arg, const struct control_entry *e)
{
	(void)arg, (void)e;
	return 5;
}

/* A process that is gone, and its number. */
static pid_t dead_pid(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	return pid;
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void test_stale(void **state)
{
	char stale[100], plain[100], living[100];
	pid_t gone = dead_pid();
	unsigned n = 0;

	(void)state;
	assert_int_equal(control_each(dir, count, &n), 0);
	assert_int_equal(n, 1);
	snprintf(stale, sizeof(stale), "%s/%d.lab.sock", dir, (int)gone);
	make_socket(stale);
	/* neither a file that is no socket, nor names of another form, are touched */
	snprintf(plain, sizeof(plain), "%s/notes.sock", dir);
	make_socket(plain);
	assert_int_equal(control_each(dir, count, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(access(stale, F_OK), -1);
	assert_int_equal(access(plain, F_OK), 0);
	unlink(plain);
	/* the socket of a process that lives stays, even if nobody listens yet */
	snprintf(living, sizeof(living), "%s/%d.x.sock", dir, (int)getppid());
	make_socket(living);
	assert_int_equal(control_each(dir, end_walk, NULL), 5);
	assert_int_equal(access(living, F_OK), 0);
	unlink(living);
	assert_int_equal(control_each("/nowhere", count, &n), -ENOENT);
}

static int count_ours(void *arg, const struct control_entry *e)
{
	unsigned *n = arg;

	*n += strcmp(e->path, control_path(control)) == 0;
	return 0;
}

/* The usual place is this user's own; there may be other stacks elsewhere. */
static void test_usual_place(void **state)
{
	char usual[256];
	unsigned n = 0;

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	control_dir(usual, sizeof(usual));
	assert_memory_equal(usual, dir, strlen(dir));
	assert_string_equal(usual + strlen(dir), "/couplet");
	control_close(control);
	assert_int_equal(control_open(&control, &stack, NULL, "lab", &why), 0);
	assert_int_equal(control_each(NULL, count_ours, &n), 0);
	assert_int_equal(n, 1);
	control_close(control);
	control = NULL;
	rmdir(usual);
	unsetenv("XDG_RUNTIME_DIR");
	control_dir(usual, sizeof(usual));
	assert_null(strstr(usual, dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_visit_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces_and_noise, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_usual_place, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
