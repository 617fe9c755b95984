"use strict";
// What scrolls within the page can be scrolled with the keyboard
function focusWhatScrolls() {
  for (const one of document.querySelectorAll("pre, .table-wrapper")) {
    if (one.scrollWidth > one.clientWidth) {
      one.tabIndex = 0;
    } else {
      one.removeAttribute("tabindex");
    }
  }
}
addEventListener("load", focusWhatScrolls);
addEventListener("resize", focusWhatScrolls);
