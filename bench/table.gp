# SPDX-License-Identifier: MIT
# Plots of what bench/table measured: it has gnuplot run this, with the directory of ratios.tsv and
# growth.tsv, where the plots go, in `dir`, and how many lines they have in `bars` and `curve`.
set terminal svg size 900,600 font "sans-serif,14" background rgb "white" dynamic
set border 3 linecolor rgb "#555555"
set tics nomirror
set linetype 1 linecolor rgb "#0072b2" linewidth 1.5 pointtype 7
set linetype 2 linecolor rgb "#d55e00" linewidth 1.5 pointtype 5
set datafile separator "\t"
set datafile missing "?"

if (curve > 0) {
	set output dir."growth.svg"
	set grid linecolor rgb "#dddddd"
	set multiplot layout 2,2 title "Cost beside so many other connections"
	set logscale x
	set format x "10^{%L}"
	set xrange [7:2e7]
	set key center left
	set yrange [0:*]
	set ytics format "%.0f"
	set ylabel "instructions"
	plot dir."growth.tsv" using 1:2 with linespoints title "a round trip", \
		"" using 1:3 with linespoints title "a connection"
	set ylabel "nanoseconds"
	plot dir."growth.tsv" using 1:4 with linespoints title "a round trip", \
		"" using 1:5 with linespoints title "a connection"
	unset key
	set ylabel "opened a second"
	plot dir."growth.tsv" using 1:6 with linespoints
	set ylabel "bytes of each end"
	plot dir."growth.tsv" using 1:7 with linespoints
	unset multiplot
	unset logscale
	reset
}
if (bars > 0) {
	set terminal svg size 900,100+22*bars font "sans-serif,13" background rgb "white" dynamic
	set output dir."ratios.svg"
	set datafile separator "\t"
	set title "Couplet's figure as a multiple of another's (blue: more is better; red: less is)"
	set logscale x
	set xrange [0.05:20]
	set xtics ("1/20" 0.05, "1/10" 0.1, "1/5" 0.2, "1/2" 0.5, "1" 1, "2" 2, "5" 5, "10" 10, "20" 20)
	set grid xtics linecolor rgb "#dddddd"
	set border 3 linecolor rgb "#555555"
	set tics nomirror
	set yrange [bars-0.5:-0.5]
	set style fill solid
	set arrow from 1,graph 0 to 1,graph 1 nohead linecolor rgb "#555555" front
	unset key
	plot dir."ratios.tsv" using (1):0:(1):2:($0-0.35):($0+0.35):($3 > 0 ? 0xd55e00 : 0x0072b2):ytic(1) \
		with boxxyerror linecolor rgb variable
}
