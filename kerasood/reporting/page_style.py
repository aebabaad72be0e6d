"""The style sheet of the HTML report."""

CSS = """
:root { color-scheme: light dark; --page: #fff; --panel: #f6f7f9; --ink: #1f2328; --muted: #5f6873;
  --hairline: #d5d9de; --in: #7d8793; --out: #b3446c; --good: #00704f; --bad: #b3261e;
  --warn: #8a5a00;
  --model-0: #7b848f; --model-1: #0072b2; --model-2: #c47500; --model-3: #00855f;
  --model-4: #8c5fb8; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --panel: #1c2024; --ink: #e6e8eb;
  --muted: #9aa4af; --hairline: #3a4047; --in: #a3adb8; --out: #e0789f; --good: #4cc79c;
  --bad: #ff8a80; --warn: #f0b35a; --model-0: #a3adb8; --model-1: #4aa8e0; --model-2: #f0a63a;
  --model-3: #2fbf93;
  --model-4: #b48ce0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.8rem 0 .5rem; }
p { margin: .4rem 0 .9rem; max-width: 48rem; }
.quiet { color: var(--muted); font-size: .88rem; }
.finding { font-size: 1.15rem; line-height: 1.5; margin: 1.4rem 0 .6rem; padding: 1rem 1.2rem;
  background: var(--panel); border-left: 4px solid var(--model-1); border-radius: 0 6px 6px 0;
  max-width: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; white-space: nowrap; font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 10rem;
  position: sticky; left: 0; background: var(--page); }
thead th { color: var(--muted); vertical-align: bottom; }
thead tr:last-child th { border-bottom: 1px solid var(--hairline); }
thead th { white-space: normal; }
thead th[colspan] { color: var(--ink); font-weight: 600; text-align: center; }
tbody tr.heading th { font-weight: 600; padding-top: .9rem; }
tbody tr.mean th, tbody tr.mean td { border-top: 1px solid var(--hairline); font-style: italic; }
td.first, th.first { padding-left: 1.5rem; }
td.best { font-weight: 700; }
small { color: var(--muted); }
td small { display: block; line-height: 1.25; font-weight: 400; }
figure { margin: .8rem 0 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 42rem; height: auto; }
.share { display: inline-block; width: 7rem; height: .55rem; margin-right: .6rem;
  border-radius: 3px; background: var(--panel); overflow: hidden; }
.share i { display: block; height: 100%; background: var(--out); }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
td.code { font: .8rem ui-monospace, monospace; }
.images { display: flex; flex-wrap: wrap; gap: .7rem; }
.images div { width: 5.5rem; }
.images img { width: 5.5rem; height: 5.5rem; object-fit: contain; image-rendering: pixelated;
  background: var(--panel); border-radius: 4px; }
.images small { display: block; line-height: 1.2; overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
th.left, td.left { text-align: left; white-space: normal; padding-left: 1.2rem; }
td .quiet, small span { font-size: inherit; font-weight: 400; }
tr.stand-in th, tr.stand-in td, tr.missing th, tr.missing td { color: var(--muted); }
tr.ours th, tr.ours td { border-top: 1px solid var(--hairline); }
summary { cursor: pointer; font-size: 1.15rem; font-weight: 600; margin: 2.8rem 0 .5rem; }
pre { background: var(--panel); padding: .8rem 1rem; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code, pre { font: .85rem/1.5 ui-monospace, monospace; }
li { margin: .2rem 0; }
@media (max-width: 40rem) { body { padding: 1.5rem .8rem 3rem; }
  th, td { padding: .28rem .3rem; }
  th:first-child { min-width: 6.5rem; max-width: 8rem; }
  td.first, th.first { padding-left: .6rem; } }
@media print { body { max-width: none; padding: 0; } h2, figure, tr { break-inside: avoid; } }
"""
