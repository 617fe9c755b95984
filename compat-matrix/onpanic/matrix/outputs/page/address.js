// The state of the page, and the fragment of the address that stores it.

const VIEWS = ["facts", "line", "fact", "build", "libvirts"];
const ROWS = ["facts", "machines"]; // of the view "line"
const DEFAULTS = {
  view: "facts", arch: "", era: "", line: "", emulator: "", notifier: "", machine: "", build: "", fact: "", rows: "facts",
  q: "", diff: true, cell: null,
};

/** Return the state of an address.  What is missing has its default; what is invalid is ignored. */
function readAddress(hash) {
  const state = { ...DEFAULTS };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, ...rest] = part.split("=");
    const value = rest.join("=");
    if (name === "cell") state.cell = readCell(value);
    else if (name === "diff") state.diff = value !== "0";
    else if (name === "view") state.view = VIEWS.includes(value) ? value : "facts";
    else if (name === "rows") state.rows = ROWS.includes(value) ? value : "facts";
    else if (name === "notifier") state.notifier = MODELS.includes(value) ? value : "";
    else if (Object.hasOwn(DEFAULTS, name)) state[name] = decoded(value);
  }
  return state;
}

/** Return the address of a state, for `readAddress`. */
function writeAddress(state) {
  const parts = [];
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = state[name];
    if (name === "cell") {
      if (value) parts.push(`cell=${[value.build, value.machine, value.fact].map(encoded).join("/")}`);
    } else if (name === "diff") {
      if (!value) parts.push("diff=0");
    } else if (value !== usual) parts.push(`${name}=${encoded(value)}`);
  }
  return `#${parts.join("&")}`;
}

function readCell(value) {
  const parts = value.split("/").map(decoded);
  return parts.length === 3 ? { build: parts[0], machine: parts[1], fact: parts[2] } : null;
}

/** Encode characters that would end a part of an address; the others stay readable. */
function encoded(text) {
  return encodeURIComponent(text).replace(/%(2B|3A|2C|40|20)/g, (code) => (code === "%20" ? code : decodeURIComponent(code)));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone percent sign
  }
}

/**
 * Return a state in which nothing is left open, so that it can be shown.  The cell decides
 * the architecture, and the build or the fact if the view needs one.
 */
function completed(state) {
  const full = { ...state };
  const known = BUILD.get(state.cell?.build) ?? BUILD.get(state.build);
  if (!full.arch || (full.arch !== ALL && !ARCHITECTURES.includes(full.arch))) {
    full.arch = known ? known.target : usualArchitecture();
  }
  if (full.view === "fact" || full.view === "line") {
    if (full.arch === ALL) full.arch = known ? known.target : usualArchitecture();
    full.fact = [full.fact, full.cell?.fact ?? "", VALUES[0]].find(isQuestion);
  }
  if (full.view === "line") {
    const cell = BUILD.get(full.cell?.build);
    const values = (field, builds) => [cell?.[field], full[field], commonest(builds.map((build) => build[field]))];
    const has = (field, builds) => (value) => builds.some((build) => build[field] === value);
    const builds = BUILDS.filter((build) => build.target === full.arch);
    full.line = values("line", builds).find(has("line", builds)) ?? "";
    const ofLine = builds.filter((build) => build.line === full.line);
    full.emulator = values("emulator", ofLine).find(has("emulator", ofLine)) ?? "";
  }
  if (full.view === "build" && !BUILD.has(full.build)) {
    const choice = selected(full);
    const emulator = commonest(choice.map((build) => build.emulator));
    const usual = choice.filter((build) => build.emulator === emulator);
    full.build = full.cell && BUILD.has(full.cell.build) ? full.cell.build : (usual.at(-1)?.id ?? "");
  }
  return full;
}

/** Return the builds that the selectors choose, whatever the filter box contains. */
function selected({ arch, era, line }) {
  return BUILDS.filter(
    (build) =>
      (arch === ALL || build.target === arch) && (!era || build.era === era) && (!line || build.line === line),
  );
}
