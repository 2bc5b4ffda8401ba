/* SPDX-License-Identifier: MIT */
/* The public calls on frames, time, events, connections and snapshots: thin doors to src/tcp. */
#include "stack/stack.h"

#include "tcp/fast.h"
#include "wire/steer.h"

/* ---- frames and time ---- */

int cpl_steer(const uint8_t key[STEER_KEY_LEN], unsigned cores, int kind, const void *frame,
	      uint32_t len)
{
	return steer_frame(key, cores, kind == CPL_IFACE_ETHER, frame, len);
}

/* MORE frames follow F. False: F is lent, and was not taken. */
static bool take(cpl_stack *s, int ifindex, const struct cpl_frame *f, unsigned more, uint64_t now)
{
	if (s->run.pieces_n) {
		if (run_joins(s, f))
			return true;
		run_ends(s, now); /* nothing overtakes it */
	}
	s->batch = more;
	s->following = f + 1;
	return input_plain(s, ifindex, f, now) || input_frame(s, ifindex, f, now);
}

static __attribute__((noinline)) int input(cpl_stack *s, int ifindex,
					   const struct cpl_frame *frames, unsigned n, uint64_t now)
{
	unsigned i = 0;

	if (ifindex < 1 || ifindex > IFACES_MAX || !s->ifaces[ifindex].used)
		return -EINVAL;
	while (i < n && take(s, ifindex, &frames[i], n - 1 - i, now))
		i++;
	if (s->run.pieces_n)
		run_ends(s, now);
	s->batch = 0;
	if (!output_may_wait(s))
		output_run_all(s, now);
	return (int)i;
}

/* Apart, so that what is seldom costs next to nothing where it is not. */
int cpl_input(cpl_stack *s, int ifindex, const struct cpl_frame *frames, unsigned n, uint64_t now)
{
	if (n > 1 && s->tcp.tcbs.in_use >= INPUT_FAR)
		input_ahead(s, ifindex, frames, n);
	return input(s, ifindex, frames, n, now);
}

int cpl_next_release(cpl_stack *s, uint64_t *token)
{
	return chunk_mem_released(&s->chunks, token);
}

static void describe(const struct frame *f, struct cpl_out *out)
{
	output_describe(f, f->headers + f->off, f->len, out);
	for (unsigned i = 0; i < f->pieces_n; i++)
		out->iov[out->iov_n++] = (struct cpl_iov){ f->pieces[i].data, f->pieces[i].len };
	out->len += f->payload_len;
}

int cpl_output(cpl_stack *s, int ifindex, struct cpl_out *frames, unsigned max, uint64_t now)
{
	unsigned n = 0;

	if (ifindex < 1 || ifindex > IFACES_MAX || !s->ifaces[ifindex].used)
		return -EINVAL;
	output_run(s, now);
	while (n < max) {
		struct frame *f = output_next(s, ifindex, now);

		if (!f)
			break;
		f->at_device = true;
		describe(f, &frames[n]);
		frames[n].token = (uint64_t)f->index + 1;
		s->counters.frames_out++;
		s->counters.bytes_out += frames[n].len;
		n++;
	}
	return (int)n;
}

int cpl_output_done(cpl_stack *s, uint64_t token, int sent, uint64_t now)
{
	struct frame *f =
		token && token <= UINT32_MAX ? pool_at(&s->frames, (uint32_t)token - 1) : NULL;
	cpl_handle handle;
	uint32_t start, end;

	if (!f || !f->at_device)
		return -EINVAL;
	handle = f->handle;
	start = f->start;
	end = f->end;
	s->counters.frames_refused += !sent;
	if (!sent && output_again(s, f))
		return 0;
	frame_free(s, f);
	if (sent)
		return 0;
	if (handle)
		tcp_refused(&s->tcp, handle, start, end, now);
	return 0;
}

int cpl_output_copy(cpl_stack *s, int ifindex, void *to, size_t size, struct cpl_out *what,
		    uint64_t now)
{
	int n;

	if (ifindex < 1 || ifindex > IFACES_MAX || !s->ifaces[ifindex].used)
		return -EINVAL;
	n = output_copy(s, ifindex, to, size, what, now);
	if (n > 0) {
		s->counters.frames_out++;
		s->counters.bytes_out += (uint32_t)n;
	}
	return n;
}

int cpl_output_pending(cpl_stack *s, int ifindex)
{
	if (ifindex < 1 || ifindex > IFACES_MAX)
		return 0;
	return s->ifaces[ifindex].cutting.frame || !list_empty(&s->ifaces[ifindex].txq) ||
	       tcp_next_ready(&s->tcp, ifindex) || output_waits(s);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t cpl_deadline(cpl_stack *s)
{
	uint64_t t = tcp_deadline(&s->tcp);

	t = least(t, neigh_deadline(&s->neigh));
	t = least(t, reasm_deadline(&s->reasm));
	t = least(t, pmtu_deadline(&s->pmtu));
	t = least(t, dad_deadline(s));
	return list_empty(&s->loop) ? t : 0;
}

void cpl_advance(cpl_stack *s, uint64_t now)
{
	struct reasm_expired expired;

	tcp_advance(&s->tcp, now);
	neigh_advance(&s->neigh, now);
	pmtu_advance(&s->pmtu, now);
	dad_advance(s, now);
	while (reasm_expire(&s->reasm, now, &expired)) {
		s->counters.drop_frag_timeout++;
		if (expired.quote_len)
			icmp_error_quote(s, expired.quote, expired.quote_len, expired.ifindex,
					 ICMP_ERR_REASSEMBLY, now);
	}
	output_run(s, now);
}

static __attribute__((noinline)) int next_event(cpl_stack *s, struct cpl_event *event)
{
	return tcp_next_event(&s->tcp, event) || udp_next_event(s, event);
}

int cpl_next_event(cpl_stack *s, struct cpl_event *event)
{
	if (!tcp_has_event(&s->tcp) && list_empty(&s->udp_events))
		return 0;
	return next_event(s, event);
}

/* ---- TCP ---- */

/* Who the program may call: not what it has closed (MAY-1), nor what it has not accepted yet. */
static inline struct tcb *read_or_written(cpl_stack *s, cpl_handle handle)
{
	struct tcb *tcb = fast_tcb(&s->tcp, handle);

	return tcb && !tcb_has(tcb, TCB_ORPHAN | TCB_HELD) ? tcb : NULL;
}

/* The same, for all that a call may change. */
static struct tcb *called(cpl_stack *s, cpl_handle handle)
{
	struct tcb *tcb = read_or_written(s, handle);

	if (tcb)
		tcb->plain = false;
	return tcb;
}

int cpl_open(cpl_stack *s, const struct cpl_endpoint *local, cpl_handle *handle, uint64_t now)
{
	struct tcb *tcb;
	int err = tcp_open(&s->tcp, local, &tcb, now);

	if (!err)
		*handle = tcb_handle(&s->tcp, tcb);
	return err;
}

int cpl_bind(cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *local, uint64_t now)
{
	struct tcb *tcb = called(s, handle);

	return tcb ? tcp_bind(&s->tcp, tcb, local, now) : tcp_missing(&s->tcp, handle);
}

int cpl_open_active(cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *remote,
		    uint64_t now)
{
	struct tcb *tcb = called(s, handle);

	return tcb ? tcp_open_active(&s->tcp, tcb, remote, now) : tcp_missing(&s->tcp, handle);
}

long cpl_open_active_data(cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *remote,
			  const void *data, size_t n, unsigned flags, uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	long r = tcb ? tcp_open_active_data(&s->tcp, tcb, remote, data, n, flags, now)
		     : tcp_missing(&s->tcp, handle);

	TRACE(&s->trace, now, handle, call, TRACE_CALL_SEND, (uint32_t)n, (uint32_t)(n >> 32),
	      (uint32_t)r);
	return r;
}

int cpl_set_fastopen_key(cpl_stack *s, const uint8_t key[16], const uint8_t *backup)
{
	struct fastopen *f = &s->tcp.fastopen;

	fastopen_set_key(&f->key[0], key);
	if (backup)
		fastopen_set_key(&f->key[1], backup);
	f->keys_n = backup ? 2 : 1;
	return 0;
}

int cpl_open_passive(cpl_stack *s, cpl_handle handle, uint32_t backlog, uint64_t now)
{
	struct tcb *tcb = called(s, handle);

	return tcb ? tcp_open_passive(&s->tcp, tcb, backlog ? backlog : 1, now)
		   : tcp_missing(&s->tcp, handle);
}

/* Both steps, or neither. */
static int finish_open(cpl_stack *s, int err, cpl_handle h, cpl_handle *handle, uint64_t now)
{
	if (err)
		cpl_close(s, h, now);
	else
		*handle = h;
	return err;
}

int cpl_connect(cpl_stack *s, const struct cpl_endpoint *local, const struct cpl_endpoint *remote,
		cpl_handle *handle, uint64_t now)
{
	cpl_handle h;
	int err = cpl_open(s, local, &h, now);

	return err ? err : finish_open(s, cpl_open_active(s, h, remote, now), h, handle, now);
}

int cpl_listen(cpl_stack *s, const struct cpl_endpoint *local, uint32_t backlog, cpl_handle *handle,
	       uint64_t now)
{
	cpl_handle h;
	int err = cpl_open(s, local, &h, now);

	return err ? err : finish_open(s, cpl_open_passive(s, h, backlog, now), h, handle, now);
}

int cpl_accept(cpl_stack *s, cpl_handle listener, cpl_handle *handle, uint64_t now)
{
	struct tcb *l = called(s, listener), *tcb;
	int err;

	if (!l)
		return -EBADF;
	err = tcp_accept(&s->tcp, l, &tcb, now);
	if (!err)
		*handle = tcb_handle(&s->tcp, tcb);
	return err;
}

int cpl_catch_all(cpl_stack *s, int ifindex, uint32_t pending_max, cpl_handle *handle, uint64_t now)
{
	struct tcb *tcb;
	int err = tcp_catch_all(&s->tcp, ifindex, pending_max ? pending_max : 1, &tcb, now);

	if (!err)
		*handle = tcb_handle(&s->tcp, tcb);
	return err;
}

int cpl_syn_accept(cpl_stack *s, cpl_handle syn, uint64_t now)
{
	struct half_open *half = tcp_half(&s->tcp, syn);
	int err = half ? half_accept(&s->tcp, half, now) : -EBADF;

	output_run(s, now);
	return err;
}

int cpl_syn_refuse(cpl_stack *s, cpl_handle syn, uint64_t now)
{
	struct half_open *half = tcp_half(&s->tcp, syn);

	if (!half)
		return -EBADF;
	half_refuse(&s->tcp, half);
	output_run(s, now);
	return 0;
}

int cpl_syn_drop(cpl_stack *s, cpl_handle syn, uint64_t now)
{
	struct half_open *half = tcp_half(&s->tcp, syn);

	(void)now;
	if (!half)
		return -EBADF;
	half_free(&s->tcp, half);
	return 0;
}

long cpl_send(cpl_stack *s, cpl_handle handle, const void *data, size_t n, unsigned flags,
	      uint64_t now)
{
	struct tcb *tcb = read_or_written(s, handle);
	long r;

	if (tcb && !flags && !trace_on(&s->trace) && fast_send(&s->tcp, tcb, data, n, now))
		return (long)n;
	if (tcb)
		tcb->plain = false;
	r = tcb ? tcp_send(&s->tcp, tcb, data, n, flags, now) : tcp_missing(&s->tcp, handle);

	TRACE(&s->trace, now, handle, call, TRACE_CALL_SEND, (uint32_t)n, (uint32_t)(n >> 32),
	      (uint32_t)r);
	return r;
}

int cpl_writable(cpl_stack *s, cpl_handle handle)
{
	struct tcb *tcb = read_or_written(s, handle);

	return tcb ? tcp_writable(&s->tcp, tcb) : tcp_missing(&s->tcp, handle);
}

long cpl_recv(cpl_stack *s, cpl_handle handle, void *data, size_t n, unsigned flags, uint64_t now)
{
	struct tcb *tcb = read_or_written(s, handle);
	long r =
		tcb ? tcp_receive(&s->tcp, tcb, data, n, flags, now) : tcp_missing(&s->tcp, handle);

	if (r != -EAGAIN)
		TRACE(&s->trace, now, handle, call, TRACE_CALL_RECEIVE, (uint32_t)n,
		      (uint32_t)(n >> 32), (uint32_t)r);
	return r;
}

#define BORROW_MAX 64u

int cpl_recv_borrow(cpl_stack *s, cpl_handle handle, struct cpl_iov *iov, unsigned max,
		    uint64_t now)
{
	struct chunk_piece pieces[BORROW_MAX];
	struct tcb *tcb = read_or_written(s, handle);
	int n;

	(void)now;
	if (!max)
		return -EINVAL;
	if (tcb && fast_borrow(tcb, pieces)) {
		iov[0] = (struct cpl_iov){ pieces[0].data, pieces[0].len };
		return 1;
	}
	n = tcb ? tcp_borrow(&s->tcp, tcb, pieces, max < BORROW_MAX ? max : BORROW_MAX)
		: tcp_missing(&s->tcp, handle);
	for (int i = 0; i < n; i++)
		iov[i] = (struct cpl_iov){ pieces[i].data, pieces[i].len };
	return n;
}

long cpl_recv_return(cpl_stack *s, cpl_handle handle, size_t n, uint64_t now)
{
	struct tcb *tcb = read_or_written(s, handle);

	if (!tcb || trace_on(&s->trace) || !fast_receive(&s->tcp, tcb, n, now))
		return n ? cpl_recv(s, handle, NULL, n, 0, now) : 0;
	return (long)n;
}

long cpl_send_chunk(cpl_stack *s, cpl_handle handle, const void *data, uint32_t n, uint64_t token,
		    unsigned flags, uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	struct chunk *chunk;
	long r;

	if (!tcb)
		return tcp_missing(&s->tcp, handle);
	if (!n || n > CPL_CHUNK_MAX)
		return n ? -EMSGSIZE : -EINVAL;
	chunk = chunk_lend(&s->chunks, data, n, token);
	if (!chunk)
		return -ENOBUFS;
	r = tcp_send_lent(&s->tcp, tcb, chunk, n, flags, now);
	if (r < 0)
		chunk_unlend(&s->chunks, chunk);
	else
		chunk_put(&s->chunks, chunk);
	TRACE(&s->trace, now, handle, call, TRACE_CALL_SEND, n, 0, (uint32_t)r);
	return r;
}

int cpl_shutdown(cpl_stack *s, cpl_handle handle, uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	int r = tcb ? tcp_shutdown(&s->tcp, tcb, now) : tcp_missing(&s->tcp, handle);

	TRACE(&s->trace, now, handle, call, TRACE_CALL_SHUTDOWN, 0, 0, (uint32_t)r);
	return r;
}

int cpl_close(cpl_stack *s, cpl_handle handle, uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	struct udp_socket *u = udp_find(s, handle);
	int r;

	if (u)
		return udp_close(s, u);
	if (!tcb)
		return tcp_missing(&s->tcp, handle);
	TRACE(&s->trace, now, handle, call, TRACE_CALL_CLOSE);
	r = tcp_close(&s->tcp, tcb, now);
	output_run(s, now);
	return r;
}

int cpl_abort(cpl_stack *s, cpl_handle handle, uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	int r;

	if (!tcb)
		return cpl_close(s, handle, now);
	TRACE(&s->trace, now, handle, call, TRACE_CALL_ABORT);
	r = tcp_abort(&s->tcp, tcb, now);
	output_run(s, now);
	return r;
}

int cpl_set_user(cpl_stack *s, cpl_handle handle, uint64_t user)
{
	struct tcb *tcb = called(s, handle);
	struct udp_socket *u = tcb ? NULL : udp_find(s, handle);

	if (tcb)
		tcb->user = user;
	else if (u)
		u->user = user;
	else
		return tcp_missing(&s->tcp, handle);
	return 0;
}

int cpl_set_option(cpl_stack *s, cpl_handle handle, enum cpl_option option, uint64_t value,
		   uint64_t now)
{
	struct tcb *tcb = called(s, handle);

	return tcb ? tcp_set_option(&s->tcp, tcb, option, value, now)
		   : tcp_missing(&s->tcp, handle);
}

int cpl_get_option(cpl_stack *s, cpl_handle handle, enum cpl_option option, uint64_t *value,
		   uint64_t now)
{
	struct tcb *tcb = called(s, handle);

	(void)now;
	return tcb ? tcp_get_option(&s->tcp, tcb, option, value) : tcp_missing(&s->tcp, handle);
}

int cpl_set_congestion(cpl_stack *s, cpl_handle handle, const char *name, uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	unsigned i = 0;

	if (!tcb)
		return tcp_missing(&s->tcp, handle);
	while (cc_at(i) && cc_at(i) != cc_find(name))
		i++;
	if (!cc_at(i))
		return -ENOENT;
	if (tcb->cc_id == i)
		return 0; /* it goes on with what it knows, as Linux */
	tcb->cc_id = (uint8_t)i;
	if (tcb->state != CPL_LISTEN && tcb->io) {
		struct cc *cc = &tcb->io->cc;
		uint32_t ssthresh = cc->ssthresh;

		cc_init(cc, cc_at(i), cc->mss, cc->cwnd, now);
		cc->ssthresh = ssthresh;
	}
	return 0;
}

int cpl_set_program(cpl_stack *s, cpl_handle handle, const char *name)
{
	struct tcb *tcb = called(s, handle);
	struct tcb_cold *cold = tcb ? tcb_cold(&s->tcp, tcb) : NULL;
	size_t n;

	if (!cold)
		return tcb ? -ENOBUFS : tcp_missing(&s->tcp, handle);
	n = strlen(name);
	n = n > sizeof(cold->program) - 1 ? sizeof(cold->program) - 1 : n;
	memset(cold->program, 0, sizeof(cold->program));
	memcpy(cold->program, name, n);
	return 0;
}

int cpl_set_source_route(cpl_stack *s, cpl_handle handle, const struct cpl_addr *hops, unsigned n)
{
	struct tcb *tcb = called(s, handle);
	struct tcb_cold *cold = tcb ? tcb_cold(&s->tcp, tcb) : NULL;

	if (!cold)
		return tcb ? -ENOBUFS : tcp_missing(&s->tcp, handle);
	if (n > SOURCE_ROUTE_MAX || tcb->state != CPL_CLOSED)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		if (!cpl_addr_is4(&hops[i]))
			return -EINVAL;
		memcpy(cold->route.hops[i], hops[i].b + 12, 4);
	}
	cold->route.n = (uint8_t)n; /* MUST-51 */
	cold->route_chosen = n > 0;
	return 0;
}

/* ---- snapshots ---- */

int cpl_info_get(cpl_stack *s, cpl_handle handle, struct cpl_info *info, uint64_t now)
{
	const struct tcb *tcb = tcp_look(&s->tcp, handle);
	struct half_open *half = tcp_half(&s->tcp, handle);
	struct udp_socket *u = udp_find(s, handle);

	if (tcb)
		tcp_info_tcb(&s->tcp, tcb, info, now);
	else if (half)
		tcp_info_half(&s->tcp, half, info, now);
	else if (u)
		udp_info(s, u, info, now);
	else
		return -EBADF;
	return 0;
}

int cpl_info_walk(cpl_stack *s, uint64_t *cursor, struct cpl_info *info, unsigned max, uint64_t now)
{
	unsigned n = 0;
	uint32_t index;

	if (*cursor >> 32 < KIND_UDP)
		n = tcp_info_walk(&s->tcp, cursor, info, max, now);
	if (n == max)
		return (int)n;
	index = *cursor >> 32 == KIND_UDP ? (uint32_t)*cursor : 0;
	while (n < max) {
		struct udp_socket *u = pool_next(&s->udp_sockets, &index);

		if (!u)
			break;
		index++;
		udp_info(s, u, &info[n++], now);
	}
	*cursor = (uint64_t)KIND_UDP << 32 | index;
	return (int)n;
}

int cpl_counters_get(cpl_stack *s, struct cpl_counters *counters)
{
	*counters = s->counters;
	counters->size = sizeof(*counters);
	return 0;
}

int cpl_trace_read(cpl_stack *s, uint64_t *cursor, struct cpl_trace *records, unsigned max,
		   uint64_t *lost)
{
	return trace_ring_read(&s->trace, cursor, records, max, lost);
}
