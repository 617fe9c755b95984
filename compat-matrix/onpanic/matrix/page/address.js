// What is shown, and the part of the address that says so: each can be had from the other.

const VIEWS = ["facts", "build", "fact"];
const NOTHING = {
  view: "facts", arch: "", era: "", line: "", machine: "", build: "", fact: "", q: "", diff: true, cell: null,
};

/** Read an address.  What it does not say is as in `NOTHING`; what cannot be read is left out. */
function readAddress(hash) {
  const state = { ...NOTHING };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, ...rest] = part.split("=");
    const value = rest.join("=");
    if (name === "cell") state.cell = readCell(value);
    else if (name === "diff") state.diff = value !== "0";
    else if (name === "view") state.view = VIEWS.includes(value) ? value : "facts";
    else if (Object.hasOwn(NOTHING, name)) state[name] = decoded(value);
  }
  return state;
}

/** Return an address that `readAddress` reads as this state. */
function writeAddress(state) {
  const parts = [];
  for (const [name, usual] of Object.entries(NOTHING)) {
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

/** Encode what would end a part of an address; the rest stays legible. */
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
 * Fill in what an address leaves open, so that it can be shown: a cell says which
 * architecture, and in its view which build or fact.
 */
function completed(state) {
  const full = { ...state };
  const told = BUILD.get(state.cell?.build) ?? BUILD.get(state.build);
  if (!full.arch || (full.arch !== ALL && !ARCHITECTURES.includes(full.arch))) {
    full.arch = told ? told.target : usualArchitecture();
  }
  if (full.view === "fact") {
    if (full.arch === ALL) full.arch = told ? told.target : usualArchitecture();
    const wanted = [full.fact, full.cell?.fact, "cont-after-panic"];
    full.fact = wanted.find((name) => FACT.has(name)) ?? FACTS[0]?.name ?? "";
  }
  if (full.view === "build" && !BUILD.has(full.build)) {
    const choice = selected(full);
    const emulator = commonest(choice.map((build) => build.emulator));
    const usual = choice.filter((build) => build.emulator === emulator);
    full.build = full.cell && BUILD.has(full.cell.build) ? full.cell.build : (usual.at(-1)?.id ?? "");
  }
  return full;
}

/** Return the builds that the selectors choose; the filter box has no say. */
function selected({ arch, era, line }) {
  return BUILDS.filter(
    (build) =>
      (arch === ALL || build.target === arch) && (!era || build.era === era) && (!line || build.line === line),
  );
}
