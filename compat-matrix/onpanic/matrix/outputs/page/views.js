// The three tables as data: columns, rows, and the answer in each cell.
//
// A row has a key, a header, and cells; a column has a key, a label and a title.  Rows and columns that
// are the same as their neighbours are left out here.

/** Return the table of a state. */
function tableOf(state) {
  const table = { facts: factsTable, build: buildTable, fact: factTable }[state.view](state);
  table.view = `${state.view}-view`;
  table.total = table.rows.length;
  if (state.diff) table.rows = differing(table.rows, state.cell && table.keysOf(state.cell)[0]);
  table.hidden = table.total - table.rows.length;
  table.notes = numbered(table.rows);
  return table;
}

/** Return a table with a row per build and a column per fact; machine facts are about one machine type. */
function factsTable(state) {
  const columns = FACTS.map((fact) => ({
    key: fact.name,
    label: fact.name,
    title: fact.asks,
    scope: fact.scope,
    address: { ...state, view: "fact", fact: fact.name, cell: null },
  }));
  const about = state.machine || usualMachine(selected(state));
  return {
    caption: `Builds and facts, ${state.arch === ALL ? "all architectures" : state.arch}`,
    corner: "build",
    things: "build",
    columns,
    heads: [
      ["of the emulator", columns.filter((column) => column.scope === "emulator").length],
      [`of the machine type: ${about}`, columns.filter((column) => column.scope === "machine").length],
    ].filter(([, width]) => width),
    keysOf: (cell) => [cell.build, cell.fact],
    rows: chosen(state).map((build) => {
      const machine = machineOf(build, state.machine);
      const cells = columns.map((column) => {
        const answer = answerOf(build, machine, column.key);
        const problem = column.scope === "machine" ? problemOf(machine, answer) : "";
        answer.note = [noteOf(build, answer.letter, column.key), problem].filter(Boolean).join("; ");
        answer.cell = { build: build.id, machine: column.scope === "machine" ? nameOf(machine, state) : "", fact: column.key };
        return answer;
      });
      return buildRow(build, state, cells);
    }),
  };
}

const nameOf = (machine, state) => machine?.name ?? state.machine;

/** Return a table with a row per machine type of one build, and a column per machine fact and policy. */
function buildTable(state) {
  const build = BUILD.get(state.build);
  const columns = [
    ...FACTS.filter((fact) => fact.scope === "machine").map((fact) => ({
      key: fact.name,
      label: fact.name,
      title: fact.asks,
      address: { ...state, view: "fact", fact: fact.name, cell: null, q: "" },
    })),
    ...DATA.policies.map((policy) => ({
      key: POLICY + policy,
      label: policy,
      title: `Is <on_panic>${policy}</on_panic> accepted?`,
    })),
  ];
  const text = (machine) => [machine.name, ...aliasesOf(machine), machine.default ? "default" : ""].join("\n").toLowerCase();
  const machines = (build?.machines ?? []).filter((machine) => matches(text(machine), state.q));
  return {
    caption: build ? `Machine types of ${build.emulator} ${build.version}` : "No build matches",
    corner: "machine type",
    things: "machine type",
    columns,
    heads: [
      ["facts", columns.length - DATA.policies.length],
      ["<on_panic> values: accepted?", DATA.policies.length],
    ],
    keysOf: (cell) => (cell.build === build?.id ? [cell.machine, cell.fact] : []),
    rows: machines.map((machine) => ({
      key: machine.name,
      name: machine.name,
      about: [...aliasesOf(machine), ...(machine.default ? ["default"] : [])].join(", "),
      group: "",
      address: { ...state, view: "facts", machine: machine.name, build: "", cell: null, q: "" },
      title: "this machine type in all builds",
      cells: columns.map((column) => {
        const answer = answerOf(build, machine, column.key);
        answer.note = problemOf(machine, answer);
        answer.cell = { build: build.id, machine: machine.name, fact: column.key };
        return answer;
      }),
    })),
  };
}

/** Return a table of one fact, with a row per build and a column per machine type. */
function factTable(state) {
  const builds = chosen(state);
  const fact = FACT.get(state.fact);
  const machines = fact?.scope === "machine" ? acrossBuilds(builds, state) : [[""]];
  const columns = machines.map((names) => ({
    key: names[0],
    names,
    label: names[0] || "emulator",
    last: names.length > 1 ? names.at(-1) : "",
    alike: names.length - 1,
    title: names.length > 1 ? names.join(", ") : "",
  }));
  const columnOf = new Map(columns.flatMap((column) => column.names.map((name) => [name, column.key])));
  return {
    caption: `${state.fact}, ${state.arch}`,
    corner: "build",
    things: "build",
    columns,
    upright: columns.length > 12,
    hiddenColumns: machines.flat().length - machines.length,
    heads: fact?.scope === "machine" ? [["machine types", columns.length]] : [],
    keysOf: (cell) => (cell.fact === state.fact ? [cell.build, columnOf.get(cell.machine)] : []),
    rows: builds.map((build) => buildRow(build, state, columns.map((column) => newest(build, column.names, state.fact)))),
  };
}

/** Return the answer of the last of some machine types that a build has; all have the same answer. */
function newest(build, names, fact) {
  let found = null;
  for (let index = names.length - 1; index >= 0; index -= 1) {
    const machine = machinesOf(build).get(names[index]) ?? null;
    if (!machine && found) continue;
    const answer = answerOf(build, machine, fact);
    answer.note = problemOf(machine, answer);
    answer.cell = { build: build.id, machine: names[index], fact };
    if (answer.letter !== NONE) return answer;
    found ??= answer;
  }
  return found;
}

/**
 * Return the names of all builds' machine types in groups, each shown as one column.  No build has two
 * machine types of a group with different answers.  Without "only differences", a group is one name.
 */
function acrossBuilds(builds, state) {
  const names = [...new Set(builds.flatMap((build) => build.machines.map((machine) => machine.name)))].sort(byNumber);
  if (!state.diff) return names.map((name) => [name]);
  const groups = [];
  let before = null;
  for (const name of names) {
    const letters = builds.map((build) => {
      const machine = machinesOf(build).get(name);
      return machine ? answerOf(build, machine, state.fact).letter : NONE;
    });
    const differs = before?.some((letter, index) => letter !== NONE && letters[index] !== NONE && letter !== letters[index]);
    if (!before || differs) {
      groups.push([name]);
      before = letters;
    } else {
      groups.at(-1).push(name);
      before = before.map((letter, index) => (letters[index] === NONE ? letter : letters[index]));
    }
  }
  return groups;
}

const chosen = (state) => selected(state).filter((build) => isAbout(build, state.q));

function buildRow(build, state, cells) {
  const target = state.arch === ALL ? `${build.target} · ` : "";
  return {
    key: build.id,
    name: build.version || build.id,
    about: build.package || build.line,
    group: `${target}${build.line} · ${build.emulator}`,
    address: { ...state, view: "build", build: build.id, cell: null, q: "" },
    title: "all machine types of this build",
    cells,
  };
}

/**
 * Return the rows without those that have the same answers as the one above them, which counts them.
 *
 * @param asked The key of a row that always stays.
 */
function differing(rows, asked) {
  const kept = [];
  let before = null;
  for (const row of rows) {
    const answers = row.cells.map((answer) => `${answer.letter}${answer.note}`).join("\n");
    if (before && row.key !== asked && before.answers === answers && before.row.group === row.group) {
      before.row.alike = (before.row.alike ?? 0) + 1;
      before.row.last = row.name;
    } else {
      before = { row, answers };
      kept.push(row);
    }
  }
  return kept;
}

/** Number the notes, equal ones alike, and return a Map from the notes to their numbers. */
function numbered(rows) {
  const notes = new Map();
  for (const row of rows) {
    for (const answer of row.cells) {
      if (!answer.note) continue;
      if (!notes.has(answer.note)) notes.set(answer.note, notes.size + 1);
      answer.number = notes.get(answer.note);
    }
  }
  return notes;
}
