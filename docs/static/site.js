"use strict";
// What the theme leaves to the mouse works with the keyboard, too.

// Words that were searched for are highlighted in div.body, which the theme does not have: in all of a page,
// its menus and the titles of its icons included, Sphinx's script fails
document.querySelector("article").parentElement.classList.add("body");

// What scrolls within the page can have the focus, and the arrow keys scroll it
function focusWhatScrolls() {
  for (const one of document.querySelectorAll("pre, .table-wrapper")) {
    if (one.scrollWidth > one.clientWidth) {
      one.tabIndex = 0;
    } else {
      one.removeAttribute("tabindex");
    }
  }
}

// A label that opens a drawer is a button
function makeButton(label, drawer) {
  const box = document.getElementById(label.htmlFor);
  const toggle = () => {
    box.checked = !box.checked;
    box.dispatchEvent(new Event("change"));
  };
  const tell = () => label.setAttribute("aria-expanded", box.checked);
  label.tabIndex = 0;
  label.setAttribute("role", "button");
  label.setAttribute("aria-label", box.getAttribute("aria-label"));
  label.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle();
      if (box.checked) {
        drawer.querySelector("input, a").focus();
      }
    }
  });
  drawer.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && box.checked && label.offsetParent) {
      toggle();
      label.focus();
    }
  });
  box.addEventListener("change", tell);
  tell();
}

addEventListener("load", () => {
  for (const name of ["navigation", "toc"]) {
    const drawer = document.querySelector(name === "toc" ? ".toc-drawer" : ".sidebar-drawer");
    for (const label of document.querySelectorAll(`label[for=__${name}]:not(.overlay, .no-toc)`)) {
      makeButton(label, drawer);
    }
  }
  focusWhatScrolls();
});
addEventListener("resize", focusWhatScrolls);
