"""The page's style sheet. Data alone."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1d21; --faint: #5d646e; --line: #dfe2e6; --band: #f5f6f8;
  --good: #1a6b3c; --bad: #b3123a; --warn: #fff4e0; --edge: #c75b00; --link: #0060a8; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --ink: #e8eaed; --faint: #a0a7b1; --line: #33373d;
  --band: #1f2227; --good: #6fd49a; --bad: #ff7d90; --warn: #2c2415; --edge: #ffa34f; --link: #7cc1f2; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper);
  max-width: 78rem; margin: 0 auto; padding: 1.5rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .8rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
a { color: var(--link); }
nav { font-size: .9rem; line-height: 1.9; } nav a { margin-right: 1.1rem; white-space: nowrap; }
p, ul { max-width: 54rem; } ul { padding-left: 1.2rem; }
.lead { font-size: 1.02rem; } .note, figcaption { color: var(--faint); font-size: .87rem; }
.warn { background: var(--warn); border-left: 4px solid var(--edge); padding: .6rem .9rem; list-style: none; }
.warn li + li { margin-top: .3rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 35rem), 1fr)); gap: 1rem 2rem;
  align-items: start; }
.grid > * { min-width: 0; }
.frame { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; margin: .3rem 0 .8rem; font-size: .84rem;
  font-variant-numeric: tabular-nums; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; position: sticky; left: 0; }
caption span { display: inline-block; max-width: calc(100vw - 2.6rem); }
th, td { padding: .28rem .4rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
thead th { font-weight: 500; color: var(--faint); vertical-align: bottom; line-height: 1.25; }
thead th.group { text-align: center; border-bottom: 1px solid var(--faint); }
td, tbody th { white-space: nowrap; } .text { text-align: left; white-space: normal; }
th.text { text-align: left; } thead th.text { white-space: nowrap; }
tbody th { text-align: left; position: sticky; left: 0; background: var(--paper); font-weight: 500; min-width: 6.4rem; }
tbody tr:nth-child(even) > * { background: var(--band); }
small { display: block; color: var(--faint); font-size: .82em; line-height: 1.2; font-weight: 400; }
.missing { color: var(--faint); font-style: italic; } .good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; } .strong { font-weight: 600; }
figure { margin: .4rem 0 1rem; } img { width: 100%; max-width: 36rem; height: auto; display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
code { font-size: .92em; }
@media (max-width: 600px) { body { padding: 1rem .9rem 3rem; font-size: 14.5px; }
  th, td { padding: .28rem .3rem; } tbody th { min-width: 5.6rem; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } }
@media print { .frame { overflow: visible; } nav { display: none; } }
"""
