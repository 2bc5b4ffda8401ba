/* SPDX-License-Identifier: MIT */
/* UNIX sockets through sock_diag: sockets that this test makes itself, and what it knows of them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "source/source.h"
#include "tests/util/loopback.h"

static struct snapshot_set set;

static void collect(void)
{
	struct source_options options = {
		.sources = SOURCE_SOCK_DIAG,
		.unix_sockets = true,
		.owners = true,
		.brief = true,
	};

	snapshot_set_clear(&set);
	assert_int_equal(source_collect(&set, &options), 0);
}

static const struct cpl_info *by_inode(uint64_t inode)
{
	for (size_t i = 0; i < set.n; i++)
		if (set.info[i].family == 1 && cpl_info_known(&set.info[i], CPL_F_inode) &&
		    set.info[i].inode == inode)
			return &set.info[i];
	return NULL;
}

static int named(int type, const char *name, size_t n)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	memcpy(a.sun_path, name, n);
	assert_return_code(bind(fd, (struct sockaddr *)&a,
				(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
			   errno);
	return fd;
}

static void connect_to(int fd, const char *name, size_t n)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, name, n);
	assert_return_code(connect(fd, (struct sockaddr *)&a,
				   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
			   errno);
}

static void a_pair(void **state)
{
	const struct cpl_info *x, *y;
	int fd[2];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), errno);
	assert_int_equal(write(fd[0], "0123456789", 10), 10);
	assert_return_code(shutdown(fd[1], SHUT_WR), errno);
	collect();
	x = by_inode(inode_of(fd[0]));
	y = by_inode(inode_of(fd[1]));
	assert_non_null(x);
	assert_non_null(y);
	assert_int_equal(x->peer_inode, y->inode);
	assert_int_equal(y->peer_inode, x->inode);
	assert_int_equal(x->state, CPL_ESTABLISHED);
	assert_int_equal(x->protocol, 0);
	assert_int_equal(x->socket_type, SOCK_STREAM);
	assert_int_equal(y->recv_queue, 10);
	assert_int_equal(x->recv_queue, 0);
	assert_true(x->send_queue >= 10); /* the kernel's overhead counts */
	assert_int_equal(y->snd_shutdown, 1);
	assert_int_equal(y->rcv_shutdown, 0);
	assert_int_equal(x->rcv_shutdown, 1);
	assert_int_equal(x->uid, getuid());
	assert_int_equal(x->pid, getpid());
	assert_int_equal(x->fd, fd[0]);
	assert_false(cpl_info_known(x, CPL_F_path));
	assert_false(cpl_info_known(x, CPL_F_local_addr));
	close(fd[0]);
	close(fd[1]);
}

/* A listener with two in its queue: who connected has no other end with an inode yet. */
static void a_listener(void **state)
{
	char path[] = "/tmp/test_unix_diag.XXXXXX";
	int pending[2], fd;
	const struct cpl_info *l;
	char name[64];

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(name, sizeof(name), "%s/s", path);
	fd = named(SOCK_STREAM, name, strlen(name));
	assert_return_code(listen(fd, 7), errno);
	for (int i = 0; i < 2; i++) {
		pending[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		connect_to(pending[i], name, strlen(name));
	}
	collect();
	l = by_inode(inode_of(fd));
	assert_non_null(l);
	assert_string_equal(l->path, name);
	assert_int_equal(l->state, CPL_LISTEN);
	assert_int_equal(l->accept_queue, 2);
	assert_int_equal(l->backlog, 7);
	assert_false(cpl_info_known(l, CPL_F_recv_queue));
	for (int i = 0; i < 2; i++) {
		const struct cpl_info *c = by_inode(inode_of(pending[i]));

		assert_non_null(c);
		assert_int_equal(c->state, CPL_ESTABLISHED);
		assert_false(cpl_info_known(c, CPL_F_peer_inode));
	}
	unlink(name);
	rmdir(path);
	close(fd);
	close(pending[0]);
	close(pending[1]);
}

/* Zeros of an abstract name are shown as @, wherever they stand; its end is where it says. */
static void names(void **state)
{
	static const char abstract[] = "\0couplet\0test";
	int fd = named(SOCK_DGRAM, abstract, sizeof(abstract) - 1);
	char longest[108];
	const struct cpl_info *i;
	int other;

	(void)state;
	memset(longest, 'n', sizeof(longest));
	longest[0] = 0;
	other = named(SOCK_SEQPACKET, longest, sizeof(longest));
	collect();
	i = by_inode(inode_of(fd));
	assert_non_null(i);
	assert_string_equal(i->path, "@couplet@test");
	assert_int_equal(i->socket_type, SOCK_DGRAM);
	assert_int_equal(i->state, CPL_CLOSED);
	i = by_inode(inode_of(other));
	assert_non_null(i);
	assert_int_equal(strlen(i->path), 108);
	assert_int_equal(i->socket_type, SOCK_SEQPACKET);
	close(fd);
	close(other);
}

static void again(void **state)
{
	struct cpl_info seen, now;
	int fd[2];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), errno);
	collect();
	assert_non_null(by_inode(inode_of(fd[0])));
	seen = *by_inode(inode_of(fd[0]));
	assert_int_equal(write(fd[1], "abc", 3), 3);
	assert_int_equal(source_again(NULL, &seen, &now), 0);
	assert_int_equal(now.id, seen.id);
	assert_int_equal(now.recv_queue, 3);
	assert_int_equal(now.pid, getpid());
	seen.id ^= 1; /* another socket's cookie */
	assert_int_equal(source_again(NULL, &seen, &now), -ENOENT);
	seen.id ^= 1;
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(source_again(NULL, &seen, &now), -ENOENT);
}

static void only_when_asked(void **state)
{
	struct source_options options = { .sources = SOURCE_SOCK_DIAG, .udp = true };
	int fd[2];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), errno);
	snapshot_set_clear(&set);
	assert_int_equal(source_collect(&set, &options), 0);
	for (size_t i = 0; i < set.n; i++)
		assert_int_not_equal(set.info[i].family, 1);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pair),	   cmocka_unit_test(a_listener),
		cmocka_unit_test(names),	   cmocka_unit_test(again),
		cmocka_unit_test(only_when_asked),
	};
	int failed;

#ifndef HAVE_LIBMNL
	print_message("1..0 # SKIP built without libmnl\n");
	return 0;
#endif
	snapshot_set_init(&set);
	failed = cmocka_run_group_tests_name("unix_diag", tests, NULL, NULL);
	snapshot_set_free(&set);
	return failed;
}
