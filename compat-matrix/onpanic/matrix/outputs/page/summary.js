// The ranges of versions above the table.

/** Draw the ranges for a state; return false if there are none. */
function drawSummary(state) {
  const box = $("ranges");
  box.replaceChildren();
  if (state.view === "build" || state.arch === ALL) return false;
  const lines = linesOf(state);
  const several = new Set(lines.map((line) => line.emulator)).size > 1;
  const facts = state.view === "fact" ? FACTS.filter((fact) => fact.name === state.fact) : FACTS;
  const known = facts.map((fact) => [fact, lines.map((line) => rangesOf(fact, line, state))]);
  const rows = known.filter(([, ranges]) => ranges.some((one) => one.length));
  if (!rows.length) return false;
  $("summary-about").textContent = [...new Set(lines.map((one) => one.emulator)), aboutMachine(state)].join(", ");
  box.append(
    el(
      "table",
      { class: "ranges" },
      el("caption", null, "Since which version of each line"),
      el(
        "thead",
        null,
        el("tr", null, el("td"), ...lines.map((one) => el("th", { scope: "col" }, one.line, several ? el("small", null, ` ${one.emulator}`) : null))),
      ),
      el("tbody", null, ...rows.map(([fact, ranges]) => summaryRow(fact, ranges, state))),
    ),
  );
  return true;
}

const aboutMachine = (state) =>
  `machine type: ${(state.view === "facts" && state.machine) || usualMachine(selected({ ...state, era: "", line: "" }))}`;

/** Return the lines of builds of an architecture, each with its most frequent emulator. */
function linesOf(state) {
  const builds = selected({ ...state, era: "" });
  return [...new Set(builds.map((build) => build.line))].map((line) => ({
    line,
    emulator: commonest(builds.filter((build) => build.line === line).map((build) => build.emulator)),
  }));
}

function rangesOf(fact, { line, emulator }, state) {
  const about = DATA.matrix.ranges.filter(
    (range) => range.fact === fact.name && range.line === line && range.emulator === emulator,
  );
  const on = (machine) => about.filter((range) => (range.machine ?? "") === machine);
  if (fact.scope === "emulator") return on("");
  if (state.view === "facts" && state.machine) return on(state.machine);
  const found = on("default");
  return found.length ? found : on("virt"); // like `machineOf`
}

function summaryRow(fact, ranges, state) {
  const address = writeAddress({ ...state, view: "fact", fact: fact.name, cell: null });
  return el(
    "tr",
    null,
    el("th", { scope: "row", title: fact.asks }, el("a", { href: address }, fact.name)),
    ...ranges.map((some) => el("td", null, ...(some.length ? some.map(rangeOf) : [el("span", { class: "none" }, "–")]))),
  );
}

function rangeOf(range) {
  const letter = LETTERS[range.answer];
  return el(
    "span",
    { class: "range", title: `${range.first} to ${range.last}` },
    el("b", { class: KINDS[letter], "aria-label": range.answer, role: "img" }, letter),
    ` ${range.text}`,
  );
}
