// How a report looks: on a screen, in the dark, and on paper.

export const STYLE = `
:root { color-scheme: light dark; --text: #1b1f24; --faint: #57606a; --line: #d0d7de; --back: #ffffff;
  --stripe: #f6f8fa; --good: #1a6b34; --warn: #7a4b00; --bad: #b3261e;
  font: 15px/1.5 system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ed; --faint: #a5b0bb; --line: #333b44; --back: #0f1216; --stripe: #191e24;
    --good: #7ddc96; --warn: #f2c56b; --bad: #ff9d94; }
}
body { background: var(--back); color: var(--text); margin: 0 auto; max-width: 75rem; padding: 1rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { border-bottom: 1px solid var(--line); font-size: 1.2rem; margin: 2rem 0 0.75rem; padding-bottom: 0.25rem; }
p { margin: 0.25rem 0; overflow-wrap: anywhere; }
.faint { color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.75rem 0.3rem 0; text-align: left; vertical-align: top; }
th { color: var(--faint); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 7rem; }
td.short { min-width: 0; white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--stripe); }
td.good { color: var(--good); } td.warn { color: var(--warn); } td.bad { color: var(--bad); font-weight: 600; }
svg { display: block; margin: 0.75rem 0; max-width: 100%; min-width: 40rem; }
svg text { fill: var(--text); font-size: 13px; }
svg .axis { fill: var(--faint); } svg .end { text-anchor: end; }
rect.good { fill: var(--good); } rect.warn { fill: var(--warn); } rect.bad { fill: var(--bad); }
:focus-visible { outline: 3px solid #0b5cad; }
@page { margin: 15mm; }
@media print {
  :root { --text: #000000; --faint: #333333; --line: #999999; --back: #ffffff; --stripe: #ffffff;
    --good: #1a6b34; --warn: #7a4b00; --bad: #b3261e; font-size: 10px; }
  body { max-width: none; padding: 0; }
  .wide { overflow: visible; } svg { min-width: 0; }
  h2 { break-after: avoid; } tr, svg { break-inside: avoid; } thead { display: table-header-group; }
}
`;
