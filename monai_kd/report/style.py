# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

__all__ = ["STYLE"]

#: The style sheet of the page. Colours are variables, so that light, dark and print differ in one place each.
STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f6f8; --card: #ffffff; --ink: #17212b; --muted: #566472; --line: #dfe4e9; --soft: #eef1f4; --heat: .6;
  --teacher: #6a5acd; --alone: #b4560c; --good: #17703a; --bad: #a92b2b; --unsure: #8a5a00;
  --d0: #0b7a75; --d1: #1f6fb5; --d2: #a8326b; --d3: #5b7500; --d4: #7a5230;
  --t0: #1f6fb5; --t1: #a8326b; --t2: #5b7500; --t3: #b4560c; --t4: #5f6b78; --t5: #6a5acd;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #0f141a; --card: #171e26; --ink: #e4eaf0; --muted: #9aa8b6; --line: #2c3743; --soft: #1f2831; --heat: .5;
    --teacher: #aea4f5; --alone: #f2a65e; --good: #6fd394; --bad: #ff9a92; --unsure: #e9bd62;
    --d0: #4fcfc4; --d1: #74b8f5; --d2: #f08dbb; --d3: #b5d04b; --d4: #d3a983;
    --t0: #74b8f5; --t1: #f08dbb; --t2: #b5d04b; --t3: #f2a65e; --t4: #a9b6c3; --t5: #aea4f5;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial,
    sans-serif; }
main { max-width: 1140px; margin: 0 auto; padding: 44px 28px 64px; }
h1 { font-size: 33px; line-height: 1.2; letter-spacing: -.018em; font-weight: 680; margin: 6px 0 14px; max-width: 27em;
  text-wrap: balance; }
h2 { font-size: 20px; letter-spacing: -.01em; font-weight: 650; margin: 52px 0 8px; }
h3 { font-size: 14px; font-weight: 650; margin: 22px 0 8px; }
p { margin: 0 0 10px; max-width: 88ch; }
.over { font-size: 12.5px; font-weight: 600; letter-spacing: .07em; text-transform: uppercase; color: var(--muted);
  margin: 0; }
.lead { font-size: 16.5px; color: var(--muted); max-width: none; }
.note { color: var(--muted); font-size: 13.5px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px; }
.grid { display: grid; gap: 16px; }
.two { grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr)); }
.top-cards { margin-top: 22px; }
.three { grid-template-columns: repeat(auto-fill, minmax(min(330px, 100%), 1fr)); }
.cases { grid-template-columns: repeat(auto-fill, minmax(168px, 1fr)); gap: 12px; }
.verdict { border-top: 4px solid var(--tone); display: flex; flex-direction: column; }
.verdict svg { margin-top: auto; }
.verdict h3 { margin: 0; font-size: 15px; }
.verdict p { font-size: 14px; margin: 0 0 12px; }
.top { display: flex; justify-content: space-between; align-items: baseline; gap: 12px; }
.chip { font-size: 13px; font-weight: 650; color: var(--tone); white-space: nowrap; }
.gain { font-size: 42px; line-height: 1.25; margin-bottom: 4px; font-weight: 680; letter-spacing: -.025em;
  color: var(--tone); }
.gain small { display: inline-block; line-height: 1.3; font-size: 14px; font-weight: 400; letter-spacing: 0;
  color: var(--muted); margin-left: 10px; }
.helps { --tone: var(--good); } .not { --tone: var(--bad); } .unclear { --tone: var(--unsure); }
.wide { overflow-x: auto; padding: 4px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13.5px; }
th, td { padding: 9px 8px; text-align: right; vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 18px; }
th:last-child, td:last-child { padding-right: 18px; }
thead th { font-size: 12.5px; font-weight: 600; color: var(--muted); vertical-align: bottom; white-space: normal;
  line-height: 1.3; max-width: 104px; }
tbody th { font-weight: 600; white-space: normal; overflow-wrap: anywhere; min-width: 210px; }
tbody tr.group th { background: var(--soft); font-size: 13px; padding-top: 7px; padding-bottom: 7px; }
tbody tr + tr td, tbody tr + tr th { border-top: 1px solid var(--line); }
td small, th small { display: block; font-size: 12px; font-weight: 400; color: var(--muted); }
tr.difference td, tr.difference th { background: color-mix(in srgb, var(--soft) 45%, transparent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 24px; margin: 0; font-size: 14px; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0; font: 12.5px/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
pre span { color: var(--muted); }
figure { margin: 0; }
figcaption { font-size: 13.5px; font-weight: 600; margin-bottom: 8px; display: flex; align-items: baseline; gap: 8px; }
figcaption small { font-weight: 400; color: var(--muted); font-size: 12.5px; margin-left: auto; white-space: nowrap; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; margin: 8px 0 0; padding: 0;
  list-style: none; }
.legend li { display: flex; align-items: center; gap: 7px; }
.key { width: 11px; height: 11px; border-radius: 3px; background: var(--tint); display: inline-block; flex: none; }
.legend .key { width: 18px; height: 4px; border-radius: 2px; }
.c-teacher { --tint: var(--teacher); } .c-alone { --tint: var(--alone); }
.c-d0 { --tint: var(--d0); } .c-d1 { --tint: var(--d1); } .c-d2 { --tint: var(--d2); } .c-d3 { --tint: var(--d3); }
.c-d4 { --tint: var(--d4); }
.c-t0 { --tint: var(--t0); } .c-t1 { --tint: var(--t1); } .c-t2 { --tint: var(--t2); } .c-t3 { --tint: var(--t3); }
.c-t4 { --tint: var(--t4); } .c-t5 { --tint: var(--t5); }
svg { display: block; max-width: 100%; height: auto; margin: 0 auto; font-size: 11px;
  font-variant-numeric: tabular-nums; }
svg text { fill: var(--muted); } svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
svg .name { font-size: 11.5px; } svg .strong { fill: var(--ink); font-size: 12px; font-weight: 600; }
svg .small { font-size: 11px; } svg .ink { fill: var(--ink); }
svg .rule { stroke: var(--line); } svg .zero { stroke: var(--ink); stroke-width: 1.2; }
svg .curve { fill: none; stroke: var(--tint); stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
svg .thin { stroke-width: 1; opacity: .38; }
svg .dot { fill: var(--tint); } svg .fill { fill: var(--tint); } svg .blank { fill: var(--soft); }
svg .seed { fill: var(--card); stroke: var(--tint); stroke-width: 1.5; }
svg .whisker { stroke: var(--tint); stroke-width: 7; stroke-linecap: round; opacity: .26; }
svg .heat { fill: var(--tint); fill-opacity: calc(var(--share) * var(--heat)); }
svg .bar { fill: var(--tint); fill-opacity: .42; } svg .point { fill: var(--tint); }
svg .count { fill: var(--muted); fill-opacity: .4; }
svg .diagonal { stroke: var(--muted); stroke-dasharray: 4 4; }
.case { padding: 12px; font-size: 12.5px; line-height: 1.5; }
.shots { display: flex; gap: 6px; margin-bottom: 8px; }
.shots img { flex: 1 1 0; min-width: 0; width: 50%; max-width: 50%; border-radius: 5px; image-rendering: pixelated; }
.shots img:only-child { max-width: 100%; }
.case div.answer { display: flex; justify-content: space-between; gap: 8px; }
.case .truth { font-weight: 650; border-bottom: 1px solid var(--line); padding-bottom: 4px; margin-bottom: 4px; }
.right { color: var(--good); } .wrong { color: var(--bad); } .right, .wrong { font-weight: 600; }
footer { margin-top: 52px; color: var(--muted); font-size: 13px; }
@media print {
  @page { size: A4; margin: 11mm; }
  :root { color-scheme: light; --page: #fff; }
  body { zoom: .64; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { padding: 0; max-width: none; }
  .card, figure, tr { break-inside: avoid; } h2, h3, .note { break-after: avoid; }
}
"""
