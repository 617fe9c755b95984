// The tables of builds and machine types as data: columns, rows, and the answer in each cell.
//
// A row has a key, a header, and cells; a column has a key, a label and a title.  Rows and columns that
// are the same as their neighbours are left out here.

/** Return the table of a state. */
function tableOf(state) {
  const table = { facts: factsTable, line: lineTable, build: buildTable, fact: factTable, libvirts: libvirtsTable }[state.view](state);
  table.view = `${state.view}-view`;
  table.total = table.rows.length;
  if (state.diff && !table.whole) table.rows = differing(table.rows, state.cell && table.keysOf(state.cell)[0]);
  table.hidden = table.total - table.rows.length;
  table.notes = numbered(table.rows);
  return table;
}

/** Return columns for questions; `state` is that of the links to the view of one fact. */
function questionColumns(names, state) {
  return names.map((name) => ({
    key: name,
    label: labelOf(name),
    title: asksOf(name),
    address: isQuestion(name) ? { ...state, view: "fact", fact: name, cell: null } : null,
  }));
}

/** Return what the answers about notifiers are about, if it is not the best one. */
const aboutNotifier = (state) => (state.notifier ? `, notifier ${state.notifier}` : "");

/** Return an answer about a machine type with its note and cell. */
function cellAnswer(build, machine, name, state, machineName = machine?.name ?? "") {
  const answer = answerOf(build, machine, name, state.notifier);
  answer.note = isOfMachine(name) ? problemOf(machine, answer) : "";
  answer.cell = { build: build.id, machine: isOfMachine(name) ? machineName : "", fact: name };
  return answer;
}

/** Return a table with a row per build: accepted values and facts of one machine type, facts of the emulator. */
function factsTable(state) {
  const ofMachine = [...(state.notifier ? [] : [NOTIFIER]), ...factsOf(false)];
  const columns = questionColumns([...VALUES, ...ofMachine, ...factsOf(true)], state);
  const about = state.machine || usualMachine(selected(state));
  return {
    caption: `Accepted values and facts, ${state.arch === ALL ? "all architectures" : state.arch}${aboutNotifier(state)}`,
    corner: "build",
    things: "build",
    columns,
    heads: [
      [`<on_panic> values accepted on: ${about}`, VALUES.length],
      ["facts of this machine type", ofMachine.length],
      ["of the emulator", factsOf(true).length],
    ].filter(([, width]) => width),
    keysOf: (cell) => [cell.build, cell.fact],
    rows: chosen(state).map((build) => {
      const machine = machineOf(build, state.machine);
      const cells = columns.map(({ key }) => {
        const answer = cellAnswer(build, machine, key, state, nameOf(machine, state));
        answer.note = [noteOf(build, answer.letter, key, state.notifier), answer.note].filter(Boolean).join("; ");
        return answer;
      });
      return buildRow(build, state, cells);
    }),
  };
}

const nameOf = (machine, state) => machine?.name ?? state.machine;

/** Return a table with a row per machine type of one build, and a column per value and machine fact. */
function buildTable(state) {
  const build = BUILD.get(state.build);
  const policies = [...VALUES, ...DATA.policies.map((policy) => POLICY + policy).filter((name) => !VALUES.includes(name))];
  const ofMachine = [...(state.notifier ? [] : [NOTIFIER]), ...factsOf(false)];
  const columns = questionColumns([...policies, ...ofMachine], { ...state, q: "" });
  const text = (machine) => [machine.name, ...aliasesOf(machine), machine.default ? "default" : ""].join("\n").toLowerCase();
  const machines = (build?.machines ?? []).filter((machine) => matches(text(machine), state.q));
  return {
    caption: build ? `Machine types of ${build.emulator} ${build.version}${aboutNotifier(state)}` : "No build matches",
    corner: "machine type",
    things: "machine type",
    columns,
    heads: [
      ["<on_panic> values accepted", policies.length],
      ["facts", ofMachine.length],
    ],
    keysOf: (cell) => (cell.build === build?.id ? [cell.machine, cell.fact] : []),
    rows: machines.map((machine) => ({
      key: machine.name,
      name: machine.name,
      about: [...aliasesOf(machine), ...(machine.default ? ["default"] : [])].join(", "),
      group: "",
      address: { ...state, view: "facts", machine: machine.name, build: "", cell: null, q: "" },
      title: "this machine type in all builds",
      cells: columns.map(({ key }) => cellAnswer(build, machine, key, state)),
    })),
  };
}

/** Return a table of one question, with a row per build and a column per machine type. */
function factTable(state) {
  const builds = chosen(state);
  const groups = isOfMachine(state.fact) ? merged(machineColumns(builds, state), state) : [[["", []]]];
  const columns = groups.map((group) => {
    const names = group.map(([name]) => name);
    return {
      key: names[0],
      names,
      label: names[0] || "emulator",
      last: names.length > 1 ? names.at(-1) : "",
      alike: names.length - 1,
      title: names.length > 1 ? names.join(", ") : "",
    };
  });
  const columnOf = new Map(columns.flatMap((column) => column.names.map((name) => [name, column.key])));
  return {
    caption: `${labelOf(state.fact)}, ${state.arch}${isOfNotifier(state.fact) ? aboutNotifier(state) : ""}`,
    corner: "build",
    things: "build",
    columns,
    upright: columns.length > 12,
    hiddenColumns: groups.flat().length - groups.length,
    hiddenThings: "machine type",
    heads: isOfMachine(state.fact) ? [["machine types", columns.length]] : [],
    keysOf: (cell) => (cell.fact === state.fact ? [cell.build, columnOf.get(cell.machine)] : []),
    rows: builds.map((build) => {
      const cells = columns.map(({ names }) =>
        newest(names, (name) => cellAnswer(build, machinesOf(build).get(name) ?? null, state.fact, state, name)),
      );
      return buildRow(build, state, cells);
    }),
  };
}

/** Return the last answer of a group, in which all that there are have the same letter. */
function newest(group, answerFor) {
  let found = null;
  for (let index = group.length - 1; index >= 0; index -= 1) {
    const answer = answerFor(group[index]);
    if (answer.letter !== NONE) return answer;
    found ??= answer;
  }
  return found;
}

/** Return the names of all builds' machine types, each with the letter of each build. */
function machineColumns(builds, state) {
  const names = [...new Set(builds.flatMap((build) => build.machines.map((machine) => machine.name)))].sort(byNumber);
  return names.map((name) => [
    name,
    builds.map((build) => {
      const machine = machinesOf(build).get(name);
      return machine ? answerOf(build, machine, state.fact, state.notifier).letter : NONE;
    }),
  ]);
}

/**
 * Return columns in groups, each shown as one.  No row has two different letters in a group, apart from
 * dashes.  Without "only differences", a group is one column.
 *
 * @param columns Pairs of a column and its letters.
 */
function merged(columns, state) {
  if (!state.diff) return columns.map((column) => [column]);
  const groups = [];
  let before = null;
  for (const column of columns) {
    const letters = column[1];
    const differs = before?.some((letter, index) => letter !== NONE && letters[index] !== NONE && letter !== letters[index]);
    if (!before || differs) {
      groups.push([column]);
      before = letters;
    } else {
      groups.at(-1).push(column);
      before = before.map((letter, index) => (letters[index] === NONE ? letter : letters[index]));
    }
  }
  return groups;
}

/** Return the builds that are shown, those of one emulator and line together. */
function chosen(state) {
  const groups = new Map();
  for (const build of selected(state)) {
    if (!isAbout(build, state.q)) continue;
    const key = groupOf(build, state);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(build);
  }
  return [...groups.values()].flat();
}

const groupOf = (build, { arch }) => [...(arch === ALL ? [build.target] : []), build.line, build.emulator].join(" · ");

function buildRow(build, state, cells) {
  return {
    key: build.id,
    name: build.version || build.id,
    about: build.package || build.line,
    group: groupOf(build, state),
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
