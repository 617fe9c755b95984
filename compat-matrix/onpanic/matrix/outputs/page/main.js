// Draws the page from the address, and changes the address when the user does something.

let drawn = ""; // the address of the table on the page
let before = null; // the element with the focus when the panel was opened

const narrow = matchMedia("(max-width: 60rem)");

/** Change the state; `typed` changes replace the current history entry. */
function go(changes, typed = false) {
  const state = { ...readAddress(location.hash), ...changes };
  history[typed ? "replaceState" : "pushState"](null, "", writeAddress(state));
  draw();
}

/** Draw the page of the current address. */
function draw() {
  const asked = readAddress(location.hash);
  const state = completed(asked);
  const address = writeAddress({ ...state, cell: null });
  const fresh = address !== drawn || (state.cell && !elementOf(state.cell));
  if (fresh) {
    drawControls(state);
    drawSummary(state);
    drawBuild(state);
    const table = tableOf(state);
    drawTable(table, (cell) => openCell(cell));
    drawn = address;
    drawTexts(table, state, asked);
  }
  drawPanel(asked, state, fresh);
}

function openCell(cell) {
  before = document.activeElement;
  go({ cell });
}

function drawTexts(table, state, asked) {
  const parts = [`${many(table.rows.length, table.things)} shown`];
  if (table.hidden) parts.push(`${many(table.hidden, table.things)} alike and hidden`);
  if (table.hiddenColumns) parts.push(`${many(table.hiddenColumns, table.hiddenThings)} alike and hidden`);
  $("count").textContent = parts.join(", ");
  $("empty").hidden = table.total > 0;
  $("table").hidden = table.total === 0;
  document.title = `${table.caption} · What QEMU does when its guest panics`;
  $("heading").textContent = table.caption;
  const one = state.view === "fact" || (state.view === "line" && state.rows === "machines");
  $("asks").textContent = one && state.fact ? asksOf(state.fact) : "";
  for (const link of $("views").querySelectorAll("a")) {
    const view = link.dataset.view;
    const ofBuilds = ["facts", "line", "fact"];
    const keeps = view === state.view || (ofBuilds.includes(view) && ofBuilds.includes(state.view));
    link.hidden = view === "libvirts" && !LIBVIRTS.columns.length;
    // A line, which one view needs, is kept only if the user chose it
    link.href = writeAddress({ ...state, line: asked.line, emulator: asked.emulator, view, cell: null, q: keeps ? state.q : "" });
    link.toggleAttribute("aria-current", view === state.view);
    if (view === state.view) link.setAttribute("aria-current", "page");
  }
}

/** Show the facts about the emulator above the machine types of a build. */
function drawBuild(state) {
  const build = state.view === "build" ? BUILD.get(state.build) : null;
  $("build").hidden = !build;
  if (!build) return;
  const chips = factsOf(true).map((name) => {
    const answer = answerOf(build, null, name);
    const cell = { build: build.id, machine: "", fact: name };
    const badge = el("b", { class: kindOf(answer.letter) }, answer.letter);
    return el("li", null, el("button", { type: "button", title: asksOf(name), onclick: () => openCell(cell) }, name, badge));
  });
  const about = [build.package || build.line, build.source, build.at && `asked ${build.at}`].filter(Boolean).join(" · ");
  $("build").replaceChildren(el("p", { class: "quiet" }, about), el("ul", { class: "inline chips" }, ...chips));
}

function drawControls(state) {
  const { view } = state;
  const ofLibvirts = view === "libvirts";
  for (const id of ["arch", "era", "line", "notifier", "diff"]) $(id).closest("label").hidden = ofLibvirts;
  const builds = selected(state);
  const all = selected({ ...state, era: "", line: "" });
  const values = (field, from) => [...new Set(from.map((build) => build[field]))].sort(byNumber);
  const architectures = ARCHITECTURES.map((name) => [name, name || "unknown"]);
  if (view !== "fact" && view !== "line") architectures.push([ALL, "all"]);
  choices("arch", architectures, state.arch);
  choices("era", [["", "all"], ...values("era", all).map((era) => [era, era])], state.era);
  choices("line", [...(view === "line" ? [] : [["", "all"]]), ...values("line", all).map((line) => [line, line])], state.line);
  const emulators = values("emulator", builds);
  $("emulator-box").hidden = view !== "line" || emulators.length < 2;
  if (view === "line") choices("emulator", emulators.map((name) => [name, name]), state.emulator);
  $("rows-box").hidden = view !== "line";
  $("rows").value = state.rows;
  choices("notifier", [["", "best"], ...MODELS.map((model) => [model, model])], state.notifier);
  const oneMachine = view === "facts" || (view === "line" && state.rows === "facts");
  $("machine-box").hidden = !oneMachine;
  if (oneMachine) {
    const { families, names } = machineNames(builds);
    const pairs = (some) => some.map((name) => [name, name]);
    choices("machine", [["", "default"], ["Families", pairs(families)], ["Machine types", pairs(names)]], state.machine);
  }
  $("build-box").hidden = view !== "build";
  if (view === "build") {
    const name = (build) => `${build.version} · ${build.emulator} · ${build.package || build.line}`;
    choices("which", builds.map((build) => [build.id, name(build)]), state.build, BUILD.has(state.build) ? name(BUILD.get(state.build)) : "");
  }
  const oneFact = view === "fact" || (view === "line" && state.rows === "machines");
  $("fact-box").hidden = !oneFact;
  if (oneFact) {
    const pairs = (names) => names.map((name) => [name, labelOf(name)]);
    choices("fact", [["<on_panic> values", pairs(VALUES)], ["Facts", pairs(FACTS.map((fact) => fact.name))]], state.fact, labelOf(state.fact));
  }
  if ($("q").value !== state.q) $("q").value = state.q;
  $("q").placeholder = { build: "pc-q35", libvirts: "restart" }[view] ?? "debian 7.2";
  $("diff").checked = state.diff;
}

/** Fill a selector; the chosen value is added if it is missing. */
function choices(id, pairs, value, label = value) {
  const option = ([key, text]) => el("option", { value: key }, text);
  const flat = pairs.flatMap(([key, text]) => (Array.isArray(text) ? text.map(([name]) => name) : [key]));
  const more = flat.includes(value) ? [] : [[value, label]];
  $(id).replaceChildren(
    ...[...pairs, ...more].map(([key, text]) =>
      Array.isArray(text) ? el("optgroup", { label: key }, ...text.map(option)) : option([key, text]),
    ),
  );
  $(id).value = value;
}

function drawPanel(asked, state, fresh) {
  const panel = $("panel");
  const there = state.cell !== null && fillPanel({ ...asked, cell: state.cell });
  $("lost").hidden = there || state.cell === null;
  const element = markCell(there ? state.cell : null);
  if (!there) {
    if (panel.open) hide();
    return;
  }
  if (element) makeTabStop(element);
  if (!panel.open) {
    document.body.classList.add("beside");
    if (narrow.matches) panel.showModal();
    else panel.show();
  }
  if (element) reveal(element, fresh);
  panel.scrollTo(0, 0);
  $("panel-title").focus({ preventScroll: true });
}

/** Close the panel, and return the focus to the element that had it before. */
function hide() {
  document.body.classList.remove("beside");
  const inside = document.activeElement === document.body || $("panel").contains(document.activeElement);
  $("panel").close();
  const back = before?.isConnected ? before : shown?.grid?.querySelector('[tabindex="0"]');
  before = null;
  if (inside) back?.focus({ preventScroll: true }); // unless the user has focused something else
}

function close() {
  if ($("panel").open) go({ cell: null });
}

function start() {
  for (const id of ["arch", "era", "line", "emulator", "notifier", "machine", "fact", "rows"]) {
    $(id).addEventListener("change", (event) => go({ [id]: event.target.value, cell: null, ...(id === "arch" ? { build: "" } : {}) }));
  }
  $("which").addEventListener("change", (event) => go({ build: event.target.value, cell: null }));
  $("q").addEventListener("input", (event) => go({ q: event.target.value, cell: null }, true));
  $("diff").addEventListener("change", (event) => go({ diff: event.target.checked, cell: null }));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("reset").addEventListener("click", () => go({ q: "", era: "", line: "", cell: null }));
  $("panel-close").addEventListener("click", close);
  $("panel").addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && $("panel").open) {
      event.preventDefault();
      close();
    }
  });
  $("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the fragment stores the state
    shown.grid?.querySelector('[tabindex="0"]').focus();
  });
  addEventListener("popstate", draw); // also fired when the fragment changes
  draw();
}

start();
