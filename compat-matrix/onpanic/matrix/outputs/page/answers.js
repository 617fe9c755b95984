// A build's answer to a question: a letter, how it is known, and notes.

const LETTERS = { yes: "y", no: "n", unknown: "?" }; // other answers are words
const WORDS = { y: "yes", n: "no", "?": "unknown", "–": "not applicable" };
const NONE = "–";
const INCONCLUSIVE = "probe-inconclusive"; // the refusal of a value because a fact is unknown
const MAX_NAMES = 4; // machine types that a note names

const nothing = (why) => ({ letter: NONE, how: "", detail: why, evidence: null, note: "" });

/**
 * Return the answer about a machine type, which is ignored for a fact about the emulator.
 *
 * @param machine Null if the build has no such machine type.
 * @param fact A fact's name, `POLICY` and a policy's name, or `NOTIFIER`.
 * @param model The notifier that the answer is about; empty for the machine type's own one.
 */
function answerOf(build, machine, fact, model = "") {
  if (Object.hasOwn(build.facts, fact)) return stated(build.facts[fact]);
  if (!isOfMachine(fact)) return nothing("this was not asked");
  if (!machine) return nothing("this build has no such machine type");
  return ofProfile(PROFILES[machine.profile], fact, model);
}

function ofProfile(profile, fact, model) {
  if (profile.started === false) return nothing(profile.problem || "this machine type did not start");
  if (fact === NOTIFIER) return ownNotifier(profile);
  const source = model && isOfNotifier(fact) ? notifierOf(profile, model) : profile;
  if (!source) return nothing("the record does not say anything about this notifier");
  if (fact.startsWith(POLICY)) return decided(source, policyOf(fact));
  if (!Object.hasOwn(source.facts, fact)) return nothing(profile.problem || "this was not asked");
  return stated(source.facts[fact]);
}

/** Return a notifier of a profile; null if its record has no entry for it. */
function notifierOf(profile, model) {
  const index = (profile.notifiers ?? []).find((one) => NOTIFIERS[one].model === model);
  return index === undefined ? null : NOTIFIERS[index];
}

function ownNotifier(profile) {
  const model = profile.notifier ?? "";
  return model ? { ...nothing("the best notifier that works"), letter: model } : nothing("no panic notifier works");
}

function stated(index) {
  const { answer, how, detail, evidence } = STATEMENTS[index];
  return { letter: LETTERS[answer] ?? answer, how: how ?? "", detail: detail ?? "", evidence: evidence ?? null, note: "" };
}

function decided(profile, policy) {
  const accepted = Object.hasOwn(profile.accepted, policy);
  if (!accepted && !Object.hasOwn(profile.refused, policy)) return nothing("this was not decided");
  const how = accepted && profile.accepted[policy] ? "coredump" : "";
  const code = accepted ? "" : profile.refused[policy];
  const detail = accepted ? (how ? "accepted, also with coredump='yes'" : "accepted") : `refused: ${code}`;
  return { letter: accepted ? "y" : code === INCONCLUSIVE ? "?" : "n", how, detail, evidence: null, note: "", code };
}

const profilesOfBuild = new WeakMap();

/** Return the profiles of a build's machine types, each once: many share one. */
function profilesOf(build) {
  if (!profilesOfBuild.has(build)) profilesOfBuild.set(build, [...new Set(build.machines.map((one) => one.profile))]);
  return profilesOfBuild.get(build);
}

/**
 * Return the machine types of a build that have another answer than the letter given.
 *
 * @return A Map from a letter to their names.
 */
function othersOf(build, letter, fact, model = "") {
  const others = new Map();
  if (letter === NONE || !isOfMachine(fact)) return others;
  const letters = new Map();
  for (const index of profilesOf(build)) {
    const other = ofProfile(PROFILES[index], fact, model).letter;
    if (other !== letter && other !== NONE && other !== "?") letters.set(index, other);
  }
  if (!letters.size) return others;
  for (const machine of build.machines) {
    const other = letters.get(machine.profile);
    if (!other || machine.name === "none") continue; // none runs no guest
    if (!others.has(other)) others.set(other, []);
    others.get(other).push(machine.name);
  }
  return others;
}

/** Return in words which machine types have another answer; empty if there are none. */
function noteOf(build, letter, fact, model = "") {
  const parts = [...othersOf(build, letter, fact, model)].sort();
  return parts.map(([other, names]) => `${wordOf(other)} on ${listed(names)}`).join("; ");
}

/** Return a letter in words; an answer that is a word is one already. */
const wordOf = (letter) => WORDS[letter] ?? letter;

function listed(names) {
  const more = names.length - MAX_NAMES;
  return more <= 1 ? names.join(", ") : `${names.slice(0, MAX_NAMES).join(", ")} and ${more} more`;
}

/** Return why a machine type could not be asked, if the answer is neither yes nor no. */
function problemOf(machine, answer) {
  if (!machine || (answer.letter !== NONE && answer.letter !== "?")) return "";
  const profile = PROFILES[machine.profile];
  return profile.problem || (profile.started === false ? "this machine type did not start" : "");
}

/** Return an answer in words, for screen readers. */
function describe(answer, number) {
  const how = answer.how === "coredump" ? "also with coredump" : answer.how;
  const changed = answer.changed ? "changed" : "";
  return [wordOf(answer.letter), how, changed, number ? `note ${number}` : ""].filter(Boolean).join(", ");
}
