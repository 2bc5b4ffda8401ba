/* SPDX-License-Identifier: MIT */
/*
 * The stream as the program writes it, and how it is cut. What is written fills blocks, each as
 * large as may leave at once; a push ends some of them (RFC 9293 3.9.1.2), and a record must not
 * share a segment with what follows it (MSG_EOR of send(2)). The sizes are Linux's, so that what a
 * peer sees of a write, PSH bits and all, is what programs and their tests know from there.
 */
#include "tcp/ecn.h"

#define GSO_LIMIT 65000u

/* ---- marks ---- */

static void mark_drop(struct tcb_io *io, unsigned i)
{
	io->marks_n--;
	memmove(&io->marks[i], &io->marks[i + 1], (io->marks_n - i) * sizeof(io->marks[0]));
}

/* Room is for a record first: a push less makes no difference that matters (SHLD-27). */
static void mark_add(struct tcb_io *io, uint32_t seq, bool record)
{
	if (io->marks_n && io->marks[io->marks_n - 1].seq == seq) {
		io->marks[io->marks_n - 1].record |= record;
		return;
	}
	for (unsigned i = 0; i < io->marks_n && record && io->marks_n == STREAM_MARKS; i++)
		if (!io->marks[i].record)
			mark_drop(io, i);
	if (io->marks_n < STREAM_MARKS)
		io->marks[io->marks_n++] = (struct stream_mark){ seq, record };
}

static struct stream_mark *mark_at(struct tcb_io *io, uint32_t seq)
{
	if (!io->marks_n || io->marks[io->marks_n - 1].seq != seq)
		return NULL;
	return &io->marks[io->marks_n - 1];
}

void stream_sent(struct tcb_io *io, uint32_t nxt)
{
	while (io->marks_n && seq_leq(io->marks[0].seq, nxt))
		mark_drop(io, 0);
}

uint32_t stream_record(const struct tcb_io *io, uint32_t seq, uint32_t len)
{
	for (unsigned i = 0; i < io->marks_n; i++)
		if (io->marks[i].record && io->marks[i].seq - seq < len)
			return io->marks[i].seq - seq;
	return len;
}

bool stream_pushed(const struct tcb_io *io, uint32_t seq, uint32_t len)
{
	if (seq_gt(io->push_seq, seq) && seq_leq(io->push_seq, seq + len))
		return true;
	for (unsigned i = 0; i < io->marks_n; i++)
		if (io->marks[i].seq - seq <= len)
			return true;
	return false;
}

/* ---- bursts ---- */

bool stream_device_cuts(const struct tcp *tcp, const struct tcb *tcb)
{
	const struct tcp_iface *iface = &tcp->ifaces[tcb->ifindex];

	return tcb_is4(tcb) ? iface->gso4 : iface->gso6;
}

/* What the device does not cut is cut on the way there. */
static uint32_t gso_max(const struct tcp *tcp, const struct tcb *tcb)
{
	const struct tcp_iface *iface = &tcp->ifaces[tcb->ifindex];

	return stream_device_cuts(tcp, tcb) && iface->gso_max < GSO_LIMIT ? iface->gso_max
									  : GSO_LIMIT;
}

/*
 * What a millisecond of the present rate holds, and the more the shorter the path is: there a burst
 * disturbs nobody. As Linux's tcp_tso_autosize().
 */
static uint32_t autosize(const struct tcb *tcb, uint32_t max)
{
	const struct cc *cc = &tcb->io->cc;
	uint32_t far = tcb->rtt.min_us >> 9;
	uint64_t bytes, srtt_us = tcb->rtt.srtt_ns / 1000;

	if (!srtt_us)
		return max;
	bytes = cc->cwnd * (cc->cwnd < cc->ssthresh / 2 ? 2000ull : 1200ull) * 1000 / 1024 /
		srtt_us;
	if (far < 32)
		bytes += max >> far;
	return bytes < max ? (uint32_t)bytes : max;
}

/*
 * SHLD-28: as much as may be cut, in whole segments. Where we cut ourselves only what leaves within
 * the same millisecond is one: it saves work and changes nothing on the wire.
 */
uint32_t stream_burst(const struct tcp *tcp, const struct tcb *tcb, uint32_t mss)
{
	uint32_t max = gso_max(tcp, tcb), least = mss;

	if (stream_device_cuts(tcp, tcb))
		least *= tcp->config->burst_min;
	else if (!tcb->rtt.srtt_ns)
		return mss;
	if (mss != tcb->snd_mss || tcb_has(tcb, TCB_URG_OUT) || !accecn_may_cut(tcb) ||
	    max < 2 * mss)
		return mss;
	least = least < max ? least : max;
	if (tcb->io->cc.pacing_rate)
		max = max < tcb->io->cc.send_quantum ? max : tcb->io->cc.send_quantum;
	else
		max = autosize(tcb, max);
	if (tcb->io->pace_max && tcb->io->pace_max / 1000 < max)
		max = (uint32_t)(tcb->io->pace_max / 1000);
	max = max > least ? max : least;
	return max - max % mss;
}

/* ---- writing ---- */

/* Octets that cwnd and the window let go as soon as the device asks. */
static uint32_t soon_sent(const struct tcb *tcb)
{
	uint32_t edge = tcb->snd_una + tcb->snd_wnd, nxt = tcb->snd_nxt, room;
	uint32_t avail = tcb_write_seq(tcb) - nxt;

	if (!tcb_synchronized(tcb) || !seq_gt(edge, nxt))
		return nxt;
	room = output_cwnd_room(tcb);
	room = edge - nxt < room ? edge - nxt : room;
	if (room < avail || tcb_has(tcb, TCB_MORE | TCB_CORK))
		room -= room % (tcb->snd_mss ? tcb->snd_mss : 1);
	return nxt + (avail < room ? avail : room);
}

/* Half of the peer's largest window: what fills it all at once waits for it to be empty. */
static uint32_t block_size(const struct tcp *tcp, const struct tcb *tcb)
{
	uint32_t mss = tcb->snd_mss ? tcb->snd_mss : 536, max = gso_max(tcp, tcb);
	uint32_t half = tcb->snd_wnd_max > 536 ? tcb->snd_wnd_max / 2 : tcb->snd_wnd_max;

	max = half && half < max ? half : max;
	return max > mss ? max - max % mss : mss;
}

/* What the last block still takes. */
static uint32_t block_room(const struct tcb *tcb, uint32_t size)
{
	struct tcb_io *io = tcb->io;
	uint32_t end = tcb_write_seq(tcb), sent = soon_sent(tcb), start;
	const struct stream_mark *m = mark_at(io, end);

	if (sent == end || (m && m->record))
		return 0;
	start = seq_gt(io->block_seq, sent) && seq_leq(io->block_seq, end) ? io->block_seq : sent;
	return end - start < size ? size - (end - start) : 0;
}

bool stream_full(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->io->sndq.bytes >= tcb->sndbuf ||
	       tcb_write_seq(tcb) - soon_sent(tcb) >= tcb_notsent_lowat(tcp, tcb);
}

/* A program that asked for it fills the block that it began, then stops. */
static bool block_begins(const struct tcp *tcp, struct tcb *tcb, bool whole)
{
	if (whole && stream_full(tcp, tcb))
		return false;
	tcb->io->block_seq = tcb_write_seq(tcb);
	return true;
}

/* The block is full and more follows: a push, if the last one was half a window ago. */
static void block_full(struct tcb *tcb)
{
	struct tcb_io *io = tcb->io;
	uint32_t end = tcb_write_seq(tcb);

	if (!seq_gt(end, io->forced_push + tcb->snd_wnd_max / 2))
		return;
	mark_add(io, end, false);
	io->forced_push = end;
}

/* N octets at DATA, of CHUNK if that is not NULL. Returns how many. */
static size_t block_append(struct tcp *tcp, struct tcb *tcb, struct chunk *chunk,
			   const uint8_t *data, size_t n)
{
	struct chunkq *q = &tcb->io->sndq;

	if (!chunk)
		return chunkq_append(q, tcp->chunks, data, n);
	return chunkq_append_ref(q, tcp->chunks, chunk, (uint32_t)(data - chunk->data), (uint32_t)n)
		       ? n
		       : 0;
}

size_t stream_write(struct tcp *tcp, struct tcb *tcb, struct chunk *chunk, const uint8_t *data,
		    size_t n, bool whole)
{
	struct tcb_io *io = tcb->io;
	uint32_t size = block_size(tcp, tcb);
	size_t done = 0;

	while (done < n) {
		uint32_t room = block_room(tcb, size), end = tcb_write_seq(tcb);
		struct stream_mark *m;
		size_t len, got;

		if (!room) {
			if (!block_begins(tcp, tcb, whole))
				break;
			room = size;
		}
		len = n - done < room ? n - done : room;
		got = block_append(tcp, tcb, chunk, data + done, len);
		/* What goes on in a block takes its push along; a new write takes it away. */
		m = end == io->block_seq ? NULL : mark_at(io, end);
		if (m && got && done)
			m->seq += (uint32_t)got;
		else if (m && got)
			io->marks_n--;
		done += got;
		if (got < len)
			break;
		if (whole && got == room && done < n)
			block_full(tcb);
	}
	return done;
}

void stream_written(struct tcb *tcb, unsigned flags)
{
	struct tcb_io *io = tcb->io;
	uint32_t end = tcb_write_seq(tcb);

	io->no_push = flags & CPL_MSG_MORE;
	if (flags & CPL_MSG_PUSH)
		io->push_seq = end; /* MAY-15 */
	if (flags & CPL_MSG_RECORD)
		mark_add(io, end, true);
	if (!(flags & CPL_MSG_MORE))
		io->forced_push = end;
}
