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
    $("summary").hidden = !drawSummary(state);
    drawBuild(state);
    const table = tableOf(state);
    drawTable(table, (cell) => openCell(cell));
    drawn = address;
    drawTexts(table, state);
  }
  drawPanel(asked, state, fresh);
}

function openCell(cell) {
  before = document.activeElement;
  go({ cell });
}

function drawTexts(table, state) {
  const parts = [`${many(table.rows.length, table.things)} shown`];
  if (table.hidden) parts.push(`${many(table.hidden, table.things)} alike and hidden`);
  if (table.hiddenColumns) parts.push(`${many(table.hiddenColumns, "machine type")} alike and hidden`);
  $("count").textContent = parts.join(", ");
  $("empty").hidden = table.total > 0;
  $("table").hidden = table.total === 0;
  document.title = `${table.caption} · What QEMU does when its guest panics`;
  $("heading").textContent = table.caption;
  $("asks").textContent = state.view === "fact" ? (FACT.get(state.fact)?.asks ?? "") : "";
  for (const link of $("views").querySelectorAll("a")) {
    const view = link.dataset.view;
    const keeps = (view === "build") === (state.view === "build");
    link.href = writeAddress({ ...state, view, cell: null, q: keeps ? state.q : "" });
    link.toggleAttribute("aria-current", view === state.view);
    if (view === state.view) link.setAttribute("aria-current", "page");
  }
}

/** Show the facts about the emulator above the machine types of a build. */
function drawBuild(state) {
  const build = state.view === "build" ? BUILD.get(state.build) : null;
  $("build").hidden = !build;
  if (!build) return;
  const chips = FACTS.filter((fact) => fact.scope === "emulator").map((fact) => {
    const answer = answerOf(build, null, fact.name);
    const cell = { build: build.id, machine: "", fact: fact.name };
    const badge = el("b", { class: KINDS[answer.letter] }, answer.letter);
    return el("li", null, el("button", { type: "button", title: fact.asks, onclick: () => openCell(cell) }, fact.name, badge));
  });
  const about = [build.package || build.line, build.source, build.at && `asked ${build.at}`].filter(Boolean).join(" · ");
  $("build").replaceChildren(el("p", { class: "quiet" }, about), el("ul", { class: "inline chips" }, ...chips));
}

function drawControls(state) {
  const builds = selected(state);
  const all = selected({ ...state, era: "", line: "" });
  const values = (field, from) => [...new Set(from.map((build) => build[field]))].sort(byNumber);
  const architectures = ARCHITECTURES.map((name) => [name, name || "unknown"]);
  if (state.view !== "fact") architectures.push([ALL, "all"]);
  choices("arch", architectures, state.arch);
  choices("era", [["", "all"], ...values("era", all).map((era) => [era, era])], state.era);
  choices("line", [["", "all"], ...values("line", all).map((line) => [line, line])], state.line);
  $("machine-box").hidden = state.view !== "facts";
  if (state.view === "facts") {
    const { families, names } = machineNames(builds);
    const pairs = (some) => some.map((name) => [name, name]);
    choices("machine", [["", "default"], ["Families", pairs(families)], ["Machine types", pairs(names)]], state.machine);
  }
  $("build-box").hidden = state.view !== "build";
  if (state.view === "build") {
    const name = (build) => `${build.version} · ${build.emulator} · ${build.package || build.line}`;
    choices("which", builds.map((build) => [build.id, name(build)]), state.build, BUILD.has(state.build) ? name(BUILD.get(state.build)) : "");
  }
  $("fact-box").hidden = state.view !== "fact";
  if (state.view === "fact") choices("fact", FACTS.map((fact) => [fact.name, fact.name]), state.fact);
  if ($("q").value !== state.q) $("q").value = state.q;
  $("q").placeholder = state.view === "build" ? "pc-q35" : "debian 7.2";
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
  for (const id of ["arch", "era", "line", "machine", "fact"]) {
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
  if (narrow.matches) $("summary").open = false;
  draw();
}

start();
