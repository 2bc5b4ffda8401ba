# SPDX-License-Identifier: MIT
# Plots of what bench/goodput.c computes: `out/release/bench/goodput plots` has gnuplot run this in
# the top directory, with its own name in `goodput`, where plots go in `dir`, and how much is drawn
# over time in `seconds`.
set terminal svg size 900,600 font "sans-serif,14" background rgb "white" dynamic
set grid linecolor rgb "#dddddd"
set border 3 linecolor rgb "#555555"
set tics nomirror
set linetype 1 linecolor rgb "#0072b2" linewidth 1.5 pointtype 7
set linetype 2 linecolor rgb "#d55e00" linewidth 1.5 pointtype 5
set linetype 3 linecolor rgb "#009e73" linewidth 1.5 pointtype 9
set linetype 4 linecolor rgb "#cc79a7" linewidth 1.5 pointtype 13
run = "<".goodput." seconds=".seconds." rtt=50 queue=1 "
path = "50 ms, a queue of one bandwidth-delay product"

set output dir."goodput-loss.svg"
set title "One flow: 50 Mbit/s, ".path
set xlabel "data lost at random"
set ylabel "goodput, Mbit/s"
set xrange [-0.3:4.3]
set yrange [0:50]
plot for [cc in "bbr reno cubic dctcp"] \
	run."rate=50 kind=one loss=0,0.1,1,3,10 cc=".cc using 0:10:xtic(8) \
	with linespoints title cc

set output dir."cwnd.svg"
unset key
set xrange [0:seconds / 2]
set yrange [0:600]
set xtics autofreq
set multiplot layout 2,2 title "cwnd of one flow: 50 Mbit/s, ".path.\
	"\nDashed: what fills the path; what fills the queue, too"
unset xlabel
set format x "%g s"
set ylabel "segments"
bdp = 50e6 / 8 * 0.05 / 1500
do for [i=1:2] {
	set arrow i from graph 0,first i*bdp to graph 1,first i*bdp nohead dashtype 2 \
		linecolor rgb "#888888"
}
do for [cc in "reno cubic bbr dctcp"] {
	set title cc.(cc eq "dctcp" ? ", a queue that marks" : "")
	plot run."rate=50 kind=one loss=0 series=20 cc=".cc using 1:2 with lines linetype 1
}
unset multiplot
unset arrow

set output dir."shares.svg"
set xrange [0:seconds]
set yrange [0:100]
set rmargin 14
set multiplot layout 3,1 title "Four flows that start 0.2 s apart: 100 Mbit/s, ".path
set ylabel "Mbit/s"
do for [cc in "reno cubic bbr"] {
	set title cc
	if (cc eq "reno") { set key at graph 1.01,1 left Left reverse samplen 1 } else { unset key }
	plot for [i=1:4] run."kind=shared flows=4 other=none series=500 cc=".cc \
		using 1:(column(1 + 2 * i)) with lines linetype i title "flow ".i
}
unset multiplot
