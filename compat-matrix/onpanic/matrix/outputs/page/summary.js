// The ranges of versions above the table: since when values are accepted, and since when facts hold.

const MAX_FAMILIES = 6; // machine types in the table of accepted values

/** Draw the ranges for a state. */
function drawSummary(state) {
  const shown = state.view !== "build" && state.view !== "libvirts" && state.arch !== ALL;
  const lines = shown ? linesOf(state) : [];
  const asked = state.view === "fact" ? [state.fact] : null;
  const values = shown ? valueRows(lines, state).filter((row) => !asked || row.values.includes(asked[0])) : [];
  const facts = shown ? factRows(lines, asked ?? FACTS.map((fact) => fact.name), state) : [];
  drawRanges($("since"), "Since which version of each line values are accepted", "machine type", lines, values);
  drawRanges($("ranges"), "Since which version of each line facts hold", "", lines, facts);
  $("since-box").hidden = !values.length;
  $("since-title").textContent = `Since when ${listedValues(DATA.decided)} are accepted${aboutNotifier(state)}`;
  $("summary").hidden = !facts.length;
  $("summary-about").textContent = [...new Set(lines.map((one) => one.emulator)), aboutMachine(state)].join(", ") + aboutNotifier(state);
}

const listedValues = (values) => `${values.slice(0, -1).join(", ")} and ${values.at(-1)}`;

function drawRanges(box, caption, corner, lines, rows) {
  const several = new Set(lines.map((line) => line.emulator)).size > 1;
  const heads = lines.map((one) => el("th", { scope: "col" }, one.line, several ? el("small", null, ` ${one.emulator}`) : null));
  box.replaceChildren();
  if (!rows.length) return;
  box.append(
    el(
      "table",
      { class: "ranges" },
      el("caption", null, caption),
      el("thead", null, el("tr", null, corner ? el("th", { scope: "col" }, corner) : el("td"), ...heads)),
      el("tbody", null, ...rows.map(rangeRow)),
    ),
  );
}

const aboutMachine = (state) =>
  `machine type: ${(state.view !== "fact" && state.machine) || usualMachine(selected({ ...state, era: "", line: "" }))}`;

/** Return the lines of builds of an architecture, each with its most frequent emulator. */
function linesOf(state) {
  const builds = selected({ ...state, era: "" });
  return [...new Set(builds.map((build) => build.line))].map((line) => {
    const ofLine = builds.filter((build) => build.line === line).map((build) => build.emulator);
    return { line, emulator: state.view === "line" ? state.emulator : commonest(ofLine) };
  });
}

/** Return the ranges of a question for a machine type, by the name that ranges have. */
function rangesOf(fact, { line, emulator }, machine, state) {
  const model = isOfNotifier(fact) ? state.notifier : "";
  return DATA.matrix.ranges.filter(
    (range) =>
      range.fact === fact &&
      range.line === line &&
      range.emulator === emulator &&
      (range.machine ?? "") === machine &&
      (range.notifier ?? "") === model,
  );
}

/** Return the ranges of a fact for the machine type that is shown. */
function factRanges(fact, line, state) {
  const on = (machine) => rangesOf(fact, line, machine, state);
  if (!isOfMachine(fact)) return on("");
  if (state.view !== "fact" && state.machine) return on(state.machine);
  const found = on("default");
  return found.length ? found : on("virt"); // like `machineOf`
}

function factRows(lines, names, state) {
  return names
    .filter((name) => FACT.has(name))
    .map((name) => ({
      name,
      title: asksOf(name),
      address: { ...state, view: "fact", fact: name, cell: null },
      ranges: lines.map((line) => factRanges(name, line, state)),
    }))
    .filter((row) => row.ranges.some((some) => some.length));
}

/** Return rows for the values that need a notifier; machine types with the same ranges share a row. */
function valueRows(lines, state) {
  const rows = new Map();
  for (const machine of machinesWithRanges(lines, state)) {
    for (const value of DATA.decided) {
      const ranges = lines.map((line) => rangesOf(POLICY + value, line, machine, state));
      const key = ranges.map((some) => some.map((range) => range.answer + range.text).join(";")).join("|");
      if (!rows.has(key)) rows.set(key, { ranges, machines: new Set(), values: new Set() });
      rows.get(key).machines.add(machine);
      rows.get(key).values.add(value);
    }
  }
  return [...rows.values()].filter((row) => row.ranges.some((some) => some.length)).map((row) => valueRow(row, state));
}

function valueRow({ ranges, machines, values }, state) {
  const names = [...machines].map((name) => (name === "default" ? "default machine type" : name)).join(", ");
  const some = values.size < DATA.decided.length ? `${[...values].join(", ")} on ` : "";
  const machine = [...machines][0] === "default" ? "" : [...machines][0];
  return {
    ranges,
    values: [...values].map((value) => POLICY + value),
    name: some + names,
    title: "this machine type over time",
    address: { ...state, view: "line", rows: "facts", machine, cell: null },
  };
}

/**
 * Return the machine types that have ranges: the one that is shown, or those that are accepted somewhere; and the
 * default one if a line has none of those.
 */
function machinesWithRanges(lines, state) {
  if (state.view !== "fact" && state.machine) return [state.machine];
  const emulators = new Set(lines.map((line) => line.emulator));
  const ranges = DATA.matrix.ranges.filter(
    (range) => range.fact === VALUES[0] && emulators.has(range.emulator) && (range.notifier ?? "") === state.notifier,
  );
  const found = [...new Set(ranges.map((range) => range.machine))];
  const accepted = new Set(ranges.filter((range) => range.answer === "yes").map((range) => range.machine));
  const aliases = found.filter((name) => name !== "default" && accepted.has(name)).slice(0, MAX_FAMILIES);
  if (!aliases.length) return found.slice(0, 1);
  const covered = new Set(ranges.filter((range) => aliases.includes(range.machine)).map((range) => range.line));
  const others = ranges.some((range) => range.machine === "default" && !covered.has(range.line));
  return others ? [...aliases, "default"] : aliases;
}

function rangeRow({ name, title, address, ranges }) {
  return el(
    "tr",
    null,
    el("th", { scope: "row", title }, el("a", { href: writeAddress(address) }, name)),
    ...ranges.map((some) => el("td", null, ...(some.length ? some.map(rangeOf) : [el("span", { class: "none" }, "–")]))),
  );
}

function rangeOf(range) {
  const letter = LETTERS[range.answer] ?? range.answer;
  return el(
    "span",
    { class: "range", title: `${range.first} to ${range.last}` },
    el("b", { class: kindOf(letter), "aria-label": range.answer, role: "img" }, letter),
    ` ${range.text}`,
  );
}
