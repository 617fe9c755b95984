// A table on the page, as an ARIA grid that the arrow keys navigate.
//
// A browser needs seconds for thirty thousand cells.  Rows are therefore drawn in blocks, and of a large
// table only the blocks near the visible part, and those that a key or a link needs.  A block that is not
// drawn is a placeholder of the same height.

const BLOCK = 20; // rows
const LARGE = 4000; // cells; in larger tables, blocks are drawn only when they are needed
const ROW = 28; // approximate height of a row, in pixels

let shown = null; // the table on the page

/** Draw a table; `onopen` is called with the subject of a cell that is opened. */
function drawTable(table, onopen) {
  const box = $("table");
  shown?.observer?.disconnect();
  shown = { table, onopen, answers: new WeakMap(), indexOfRow: new WeakMap(), rowIndexes: new Map(), blocks: [] };
  table.rows.forEach((row, index) => shown.rowIndexes.set(row.key, index));
  box.replaceChildren();
  box.scrollTo(0, 0);
  $("notes").replaceChildren(...[...table.notes].map(([note, number]) => el("li", { value: number }, note)));
  $("notes-box").hidden = !table.notes.size;
  if (!table.rows.length) return;
  const grid = el(
    "table",
    {
      role: "grid",
      class: [table.view, table.upright ? "upright" : ""].join(" ").trim(),
      "aria-describedby": "keys",
      onclick: (event) => open(event.target.closest("td")),
      onkeydown: navigate,
      onfocusin: (event) => makeTabStop(event.target.closest("[tabindex]")),
    },
    el("caption", null, table.caption),
    el("colgroup", null, el("col", { class: "first" }), el("col", { span: table.columns.length })),
    head(table),
  );
  grid.style.setProperty("--columns", table.columns.length);
  shown.grid = grid;
  addBlocks(table);
  box.append(grid);
  if (table.rows.length * table.columns.length < LARGE) {
    shown.blocks.forEach(fill);
  } else {
    shown.blocks.slice(0, 2).forEach(fill);
    shown.observer = new IntersectionObserver(drawVisible, { root: box, rootMargin: "400px" });
    for (const block of shown.blocks) shown.observer.observe(block.body);
  }
  makeTabStop(grid.querySelector("td"));
}

/** Divide the rows into blocks that are not drawn; all rows of a block are of one group. */
function addBlocks(table) {
  let position = table.heads.length ? 3 : 2; // aria-rowindex of the next row
  let block = null;
  let group = "";
  table.rows.forEach((row, index) => {
    const starts = row.group !== group;
    if (!block || starts || index - block.start >= BLOCK) {
      block = { start: index, end: index, group: starts ? row.group : "", position, body: el("tbody"), drawn: false };
      if (block.group) position += 1;
      shown.blocks.push(block);
      shown.grid.append(block.body);
    }
    block.end = index + 1;
    group = row.group;
    position += 1;
  });
  shown.grid.setAttribute("aria-rowcount", position - 1);
  for (const one of shown.blocks) empty(one, (one.end - one.start + (one.group ? 1 : 0)) * ROW);
}

/** Draw a block's rows. */
function fill(block) {
  if (block.drawn) return;
  const { rows, columns } = shown.table;
  const first = block.group ? [groupHead(block, columns.length)] : [];
  const position = block.position + first.length;
  block.trs = rows.slice(block.start, block.end).map((row, index) => rowOf(row, block.start + index, position + index));
  block.body.replaceChildren(...first, ...block.trs);
  block.drawn = true;
}

/** Replace a block's rows by a placeholder. */
function empty(block, height) {
  const space = el("td", { colspan: shown.table.columns.length + 1 });
  space.style.height = `${height}px`;
  block.body.replaceChildren(el("tr", { class: "space", "aria-hidden": "true" }, space));
  block.drawn = false;
}

/** Draw blocks that come near, and remove those that are far away, without focus and not selected. */
function drawVisible(entries) {
  for (const { target, isIntersecting } of entries) {
    const block = shown.blocks.find((one) => one.body === target);
    if (!block) continue;
    if (isIntersecting) fill(block);
    else if (block.drawn && !target.querySelector('[tabindex="0"], [aria-selected]')) empty(block, target.offsetHeight);
  }
}

/** Return the element of a row, drawn if necessary. */
function rowAt(index) {
  const block = shown.blocks.find((one) => index < one.end);
  fill(block);
  return block.trs[index - block.start];
}

function head(table) {
  const corner = { class: "corner", scope: "col", rowspan: table.heads.length ? 2 : 1 };
  const first = el("tr", null, el("th", corner, table.corner));
  if (!table.heads.length) return el("thead", null, addColumns(first, table));
  first.append(...table.heads.map(([text, width]) => el("th", { scope: "colgroup", colspan: width }, text)));
  return el("thead", null, first, addColumns(el("tr"), table));
}

function addColumns(row, table) {
  for (const column of table.columns) {
    const label = el("span", { class: "label" }, ...broken(column.label));
    const about = column.alike ? `to ${column.last}, ${column.alike + 1} alike` : column.about;
    const more = about ? el("small", null, about) : null;
    row.append(
      el(
        "th",
        { scope: "col", title: column.title },
        column.address ? el("a", { href: writeAddress(column.address), tabindex: -1 }, label) : label,
        more,
      ),
    );
  }
  return row;
}

/** Allow line breaks after the dashes of a name. */
function broken(name) {
  return name.split(/(?<=-)/).flatMap((part, index) => (index ? [el("wbr"), part] : [part]));
}

function groupHead({ group, position }, width) {
  const cell = el("th", { scope: "rowgroup", colspan: width + 1 }, el("span", null, group));
  return el("tr", { class: "group", "aria-rowindex": position }, cell);
}

function rowOf(row, index, position) {
  const alike = row.alike ? ` to ${row.last}, ${row.alike + 1} alike` : "";
  const about = alike || (row.about ? ` ${row.about}` : "");
  const link = row.address
    ? el("a", { href: writeAddress(row.address), tabindex: -1, title: row.title }, row.name)
    : el("span", { title: row.title }, row.name);
  const element = el("tr", { "aria-rowindex": position }, el("th", { scope: "row", title: row.about }, link, about ? el("small", null, about) : null));
  for (const answer of row.cells) element.append(cellOf(answer));
  shown.indexOfRow.set(element, index);
  return element;
}

const KINDS = { y: "yes", n: "no", "?": "unknown", "–": "none" };

/** Return the class of an answer's colour. */
const kindOf = (letter) => KINDS[letter] ?? "word";

function cellOf(answer) {
  const cell = document.createElement("td");
  cell.className = [kindOf(answer.letter), answer.how, answer.changed ? "changed" : ""].filter(Boolean).join(" ");
  cell.tabIndex = -1;
  cell.setAttribute("aria-label", describe(answer, answer.number));
  cell.textContent = answer.letter;
  if (answer.how === "coredump") cell.append(el("i", null, "+"));
  if (answer.number) cell.append(el("sup", null, `${answer.number}`));
  shown.answers.set(cell, answer.cell);
  return cell;
}

function open(cell) {
  if (cell) shown.onopen(shown.answers.get(cell));
}

/** Return the element of a cell; null if the table does not have it. */
function elementOf(cell) {
  if (!shown?.grid || !cell) return null;
  const [row, column] = shown.table.keysOf(cell);
  const index = shown.table.columns.findIndex((one) => one.key === column);
  return index < 0 || !shown.rowIndexes.has(row) ? null : rowAt(shown.rowIndexes.get(row)).cells[index + 1];
}

/** Mark the cell that the panel shows, and no other. */
function markCell(cell) {
  for (const old of $("table").querySelectorAll("[aria-selected]")) old.removeAttribute("aria-selected");
  const element = elementOf(cell);
  element?.setAttribute("aria-selected", "true");
  return element;
}

/** Make an element the grid's only tab stop. */
function makeTabStop(element) {
  if (!element) return;
  for (const old of shown.grid.querySelectorAll('[tabindex="0"]')) old.tabIndex = -1;
  element.tabIndex = 0;
}

/** Handle a key: arrows, Home, End, Page Up and Page Down move, Enter and Space open. */
function navigate(event) {
  const cell = event.target.closest("td, th");
  if (!cell || event.altKey || event.metaKey) return;
  if ((event.key === "Enter" || event.key === " ") && cell.tagName === "TD") {
    open(cell);
  } else if (!moved(cell, event.key, event.ctrlKey)) return;
  event.preventDefault();
}

function moved(cell, key, far) {
  const steps = {
    ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-10, 0], PageDown: [10, 0],
    Home: [far ? -Infinity : 0, -Infinity], End: [far ? Infinity : 0, Infinity],
  };
  if (!Object.hasOwn(steps, key)) return false;
  const [down, right] = steps[key];
  const { rows, columns } = shown.table;
  const heads = shown.grid.tHead.lastChild; // the column headers, above the first row
  const from = shown.indexOfRow.get(cell.parentElement) ?? -1;
  const index = Math.min(Math.max(from + down, -1), rows.length - 1);
  const lacks = (row) => columns.length + 1 - row.cells.length; // the corner may be in the row above
  const row = index < 0 ? heads : rowAt(index);
  const wanted = cell.cellIndex + lacks(cell.parentElement) + right - lacks(row);
  focusCell(row.cells[Math.min(Math.max(wanted, 0), row.cells.length - 1)]);
  return true;
}

/** Focus the link in a cell, or the cell, and scroll it into view. */
function focusCell(cell) {
  const target = cell.querySelector("a") ?? cell;
  if (target === cell && !cell.hasAttribute("tabindex")) cell.tabIndex = -1;
  target.focus({ preventScroll: true });
  reveal(cell);
}

/** Scroll a cell into view, so that no header covers it; to the centre of the table if `middle`. */
function reveal(cell, middle = false) {
  const box = $("table");
  const area = box.getBoundingClientRect();
  const rect = () => cell.getBoundingClientRect();
  if (middle) {
    box.scrollBy(rect().left - area.left - area.width / 2, rect().top - area.top - area.height / 2);
  }
  cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  const top = box.getBoundingClientRect().top + shown.grid.tHead.offsetHeight;
  const left = area.left + shown.grid.tHead.rows[0].cells[0].offsetWidth;
  if (cell.closest("tbody") && rect().top < top) box.scrollBy(0, rect().top - top - 4);
  if (cell.cellIndex > 0 && rect().left < left) box.scrollBy(rect().left - left - 4, 0);
}
