// The evidence of one answer: what was asked, what came, and how to ask again.

const HOWS = {
  observed: "observed: made to happen, and watched",
  introspected: "introspected: the emulator said so over QMP",
  recorded: "recorded: a recording said so",
  documented: "documented: true of the architecture by its specification",
};

const LINKED = 12; // other machine types

/** Fill the panel.  Returns false if the matrix does not have what the cell names. */
function fillPanel(state) {
  const { cell } = state;
  const build = BUILD.get(cell.build);
  const fact = FACT.get(cell.fact);
  const policy = cell.fact.startsWith(POLICY) ? cell.fact.slice(POLICY.length) : "";
  if (!build || !(fact || DATA.policies.includes(policy))) return false;
  const machine = machineOf(build, cell.machine);
  const answer = cell.machine || fact?.scope === "emulator" ? answerOf(build, machine, cell.fact) : nothing("this build has no default machine type");
  $("panel-title").replaceChildren(policy ? `<on_panic>${policy}</on_panic>` : cell.fact);
  const about = cell.machine ? machine : null;
  $("panel-body").replaceChildren(
    el("p", { class: "asks" }, fact?.asks ?? "Is this value accepted?"),
    verdict(answer),
    facts(build, about, cell),
    ...evidence(answer, about, build),
    ...reproduce(build, about, cell.fact),
    ...others(state, build, about, answer),
    ...(about ? policies(about, cell) : []),
    el("p", { class: "permalink" }, el("a", { href: writeAddress(state) }, "Link to this answer")),
  );
  return true;
}

function verdict(answer) {
  const word = answer.code === undefined ? WORDS[answer.letter] : answer.letter === "y" ? "accepted" : "refused";
  return el(
    "p",
    { class: "verdict" },
    el("b", { class: KINDS[answer.letter] }, word),
    HOWS[answer.how] ? el("span", { class: "how" }, HOWS[answer.how]) : null,
    answer.detail ? el("span", { class: "detail" }, answer.detail) : null,
    answer.code && DATA.reasons[answer.code] ? el("span", { class: "detail" }, DATA.reasons[answer.code]) : null,
  );
}

function facts(build, machine, cell) {
  const list = el("dl");
  const add = (name, ...value) => value.some(Boolean) && list.append(el("dt", null, name), el("dd", null, ...value));
  add("Build", `${build.emulator} ${build.version}`, build.package ? ` (${build.package})` : "");
  add("Line", [build.line, build.era, build.target].filter(Boolean).join(", "));
  if (cell.machine) {
    const extra = machine ? [...aliasesOf(machine), ...(machine.default ? ["default"] : [])].join(", ") : "not in this build";
    add("Machine type", machine?.name ?? cell.machine, extra ? ` (${extra})` : "");
  }
  const profile = machine ? PROFILES[machine.profile] : null;
  if (profile?.notifier) {
    const mask = profile.event_mask ?? null;
    add("Notifier", profile.notifier, mask === null ? "" : `, offers event bits 0x${mask.toString(16)}`);
  }
  add("Problem", profile?.problem);
  add("Source", build.source || "an emulator on the host that was asked");
  add("Asked", build.at, build.by ? ` by ${build.by}` : "");
  return list;
}

const ARROWS = { "$": "start", "-": "sent", "<": "came", "=": "end" };

function evidence(answer, machine, build) {
  const lines = answer.evidence === null ? [] : DATA.matrix.evidence[answer.evidence];
  const title = el("h3", null, "Evidence");
  const why = answer.letter === "?" ? "What is not known has no lines that show it." : "No lines were kept for this answer.";
  if (!lines.length) return [title, el("p", { class: "quiet" }, why)];
  const name = (machine ?? machineOf(build, ""))?.name;
  // A command is for a shell, what was said is not
  const named = (line) => line.replaceAll("{machine}", line.startsWith("$") ? quoted(name) : name);
  const shownLine = (line) => (name ? named(line) : line);
  return [
    title,
    el(
      "pre",
      { class: "evidence", tabindex: 0, "aria-label": "Evidence" },
      ...lines.map((line) => el("span", { class: ARROWS[line[0]] ?? null }, `${shownLine(line)}\n`)),
    ),
  ];
}

/** Write a word as a shell reads it: a machine type's name is what the emulator says. */
function quoted(word) {
  return /^[\w.,+:@%/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function reproduce(build, machine, fact) {
  const title = el("h3", null, "Ask again");
  if (!build.reproduce) return [title, el("p", { class: "quiet" }, "There is no command for it.")];
  const named = machine
    ? build.reproduce.replaceAll("{machine}", quoted(machine.name))
    : build.reproduce.replaceAll(/--machine \{machine\} ?/g, "");
  // Recordings have it, if they do
  const asks = fact === "acpi-exposes-pvpanic" && !named.includes("--recording");
  const command = asks ? named.replace("onpanic probe ", "onpanic probe --acpi ") : named;
  const text = el("pre", { class: "command", tabindex: 0, "aria-label": "Command" }, command);
  const said = el("span", { role: "status" });
  const button = el("button", { type: "button", onclick: () => copy(text, said) }, "Copy");
  return [title, el("div", { class: "copy" }, text, button, said)];
}

/** Copy an element's text; where the browser does not let us, select it for the user to copy. */
async function copy(element, said) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    said.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(element);
    said.textContent = document.execCommand("copy") ? "copied" : "selected, copy it with your keyboard";
  }
}

/** Say which machine types of the build answer otherwise. */
function others(state, build, machine, answer) {
  if (!machine || state.cell.fact.startsWith(POLICY)) return [];
  const found = [...othersOf(build, answer.letter, state.cell.fact)].sort();
  if (!found.length) return [];
  const all = { ...state, view: "build", build: build.id, q: "", cell: null };
  const more = (names) => (names.length > LINKED ? [el("a", { href: writeAddress(all) }, `and ${names.length - LINKED} more`)] : []);
  const link = (name) => {
    const address = writeAddress({ ...state, cell: { ...state.cell, machine: name } });
    return [el("a", { href: address }, name), " "];
  };
  return [
    el("h3", null, "Other machine types of this build"),
    ...found.map(([letter, names]) => el("p", { class: "others" }, `${WORDS[letter]} on `, ...names.slice(0, LINKED).flatMap(link), ...more(names))),
  ];
}

/** List the policies of a machine type. */
function policies(machine, cell) {
  const { accepted, refused } = PROFILES[machine.profile];
  const coredump = (value) => (accepted[value] ? [value, el("sup", { title: "also with coredump='yes'" }, "d")] : [value]);
  const item = (value) => el("li", { "aria-current": cell.fact === POLICY + value ? "true" : null }, ...coredump(value));
  const codes = [...new Set(Object.values(refused))];
  const valuesOf = (code) => Object.keys(refused).filter((value) => refused[value] === code).join(", ");
  return [
    el("h3", null, "<on_panic> values on this machine type"),
    el("p", { class: "policies" }, el("b", { class: "yes" }, "accepted")),
    el("ul", { class: "inline" }, ...Object.keys(accepted).map(item)),
    Object.values(accepted).some(Boolean) ? el("p", { class: "quiet" }, el("sup", null, "d"), " also with coredump='yes'") : null,
    codes.length ? el("p", { class: "policies" }, el("b", { class: "no" }, "refused")) : null,
    codes.length
      ? el("dl", { class: "refused" }, ...codes.map((code) => [
          el("dt", null, valuesOf(code)),
          el("dd", null, el("code", null, code), DATA.reasons[code] ? ` ${DATA.reasons[code]}` : ""),
        ]).flat())
      : null,
  ].filter(Boolean);
}
