// The view of libvirts: what each accepts, and what its guests end in when they panic.

/** Return a table with a row per question and a column per libvirt. */
function libvirtsTable(state) {
  const text = (row) => `${row.group}\n${row.name}`.toLowerCase();
  const rows = LIBVIRTS.rows.filter((row) => matches(text(row), state.q));
  return {
    caption: "What libvirt accepts, and what a panic ends in",
    corner: "value or model",
    things: "question",
    whole: true,
    columns: LIBVIRTS.columns.map(({ key, name, about }) => ({ key, label: name, about, title: `${name}, ${about}` })),
    heads: [],
    keysOf: (cell) => [cell.fact, cell.build],
    rows: rows.map((row) => ({
      key: row.key,
      name: row.name,
      about: "",
      group: row.group,
      title: row.group,
      cells: row.cells.map((cell, index) => ({
        letter: cell.text === "-" ? NONE : cell.text,
        how: "",
        note: "",
        cell: { build: LIBVIRTS.columns[index].key, machine: "", fact: row.key },
      })),
    })),
  };
}

/** Fill the panel with a libvirt's answer; return false if the matrix does not have it. */
function fillLibvirtPanel(state) {
  const { cell } = state;
  const index = LIBVIRTS.columns.findIndex((column) => column.key === cell.build);
  const row = LIBVIRTS.rows.find((one) => one.key === cell.fact);
  if (index < 0 || !row) return false;
  const column = LIBVIRTS.columns[index];
  const answer = row.cells[index];
  const letter = answer.text === "-" ? NONE : answer.text;
  const word = { y: "accepted", n: "refused" }[letter] ?? wordOf(letter);
  $("panel-title").replaceChildren(row.name);
  $("panel-body").replaceChildren(
    el("p", { class: "asks" }, row.group),
    el("p", { class: "verdict" }, el("b", { class: kindOf(letter) }, word), el("span", { class: "detail" }, answer.detail)),
    el("dl", null, ...column.facts.flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)])),
    ...(answer.evidence.length ? [el("h3", null, "Evidence"), evidenceLines(answer.evidence)] : []),
    el("p", { class: "permalink" }, el("a", { href: writeAddress(state) }, "Link to this answer")),
  );
  return true;
}
