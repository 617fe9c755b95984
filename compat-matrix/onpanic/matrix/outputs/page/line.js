// The table of one emulator over time: a column per build of a line, in the order of their versions.

/** Return the table; its rows are questions about one machine type, or machine types. */
function lineTable(state) {
  const builds = chosen(state).filter((build) => build.emulator === state.emulator);
  const subjects = state.rows === "machines" ? machineRows(builds, state) : questionRows(state);
  const families = state.rows === "machines" ? ["", ...machineNames(builds).families] : [];
  // Aliases are new machine types in each version: versions in which they differ do not share a column
  const letters = (build) => [
    ...subjects.map((row) => row.letterOf(build)),
    ...families.map((name) => letterOf(build, machineOf(build, name), state)),
  ];
  const groups = merged(builds.map((build) => [build, state.diff ? letters(build) : []]), state);
  const columns = groups.map((group) => lineColumn(group.map(([build]) => build), state));
  const columnOf = new Map(columns.flatMap((column) => column.builds.map((build) => [build.id, column.key])));
  const about = state.rows === "machines" ? labelOf(state.fact) : state.machine || usualMachine(builds);
  return {
    caption: `${state.emulator} of ${state.line || "no line"} over time: ${about}${aboutNotifier(state)}`,
    corner: state.rows === "machines" ? "machine type" : "value or fact",
    things: state.rows === "machines" ? "machine type" : "row",
    whole: state.rows !== "machines", // unchanged rows are as important as the others
    columns,
    hiddenColumns: builds.length - groups.length,
    hiddenThings: "build",
    heads: columns.length ? [["versions", columns.length]] : [],
    keysOf: (cell) => [state.rows === "machines" ? cell.machine : cell.fact, columnOf.get(cell.build)],
    rows: columns.length ? subjects.map((row) => lineRow(row, columns)) : [],
  };
}

const letterOf = (build, machine, state) => answerOf(build, machine, state.fact, state.notifier).letter;

function lineColumn(builds, state) {
  const [first] = builds;
  return {
    key: first.id,
    builds,
    label: first.version || first.id,
    last: builds.length > 1 ? builds.at(-1).version : "",
    alike: builds.length - 1,
    title: builds.map((build) => [build.version, build.package].filter(Boolean).join(" ")).join(", "),
    address: { ...state, view: "build", build: first.id, cell: null, q: "" },
  };
}

/** Return rows for the values and facts of one machine type. */
function questionRows(state) {
  const groups = [
    ["<on_panic> values accepted", VALUES],
    ["facts of the machine type", [...(state.notifier ? [] : [NOTIFIER]), ...factsOf(false)]],
    ["facts of the emulator", factsOf(true)],
  ];
  return groups.flatMap(([group, names]) =>
    names.map((name) => ({
      key: name,
      name: labelOf(name),
      about: "",
      group,
      address: isQuestion(name) ? { ...state, rows: "machines", fact: name, cell: null } : null,
      title: asksOf(name),
      letterOf: (build) => answerOf(build, machineOf(build, state.machine), name, state.notifier).letter,
      answerOf: (build) => {
        const machine = machineOf(build, state.machine);
        return cellAnswer(build, machine, name, state, nameOf(machine, state));
      },
    })),
  );
}

/** Return rows for the machine types of some builds. */
function machineRows(builds, state) {
  const machines = new Map(builds.flatMap((build) => build.machines.map((machine) => [machine.name, machine])));
  return [...machines.keys()].sort(byNumber).map((name) => ({
    key: name,
    name,
    about: aliasesOf(machines.get(name)).join(", "),
    group: "",
    address: { ...state, rows: "facts", machine: name, cell: null },
    title: "this machine type in all versions",
    letterOf: (build) => letterOf(build, machinesOf(build).get(name) ?? null, state),
    answerOf: (build) => cellAnswer(build, machinesOf(build).get(name) ?? null, state.fact, state, name),
  }));
}

/** Return a row with its cells; an answer that differs from the one before it is marked. */
function lineRow(row, columns) {
  let before = "";
  const cells = columns.map(({ builds }) => {
    const answer = newest(builds, row.answerOf);
    const known = answer.letter !== NONE && answer.letter !== "?";
    answer.changed = known && before !== "" && before !== answer.letter;
    if (known) before = answer.letter;
    return answer;
  });
  return { ...row, cells };
}
