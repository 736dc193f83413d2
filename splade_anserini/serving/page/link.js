// The link that restores the page: its address.

import { $ } from "./dom.js";

/** Copies the address; where the browser does not let the page do so, shows it to be copied. */
export async function copyLink() {
  forgetLink();
  try {
    await navigator.clipboard.writeText(location.href);
    $("copied-text").textContent = "The link was copied. It restores all that you see.";
  } catch {
    $("copied-text").textContent = "Copy this link. It restores all that you see.";
    $("link").hidden = false;
    $("link").value = location.href;
    $("link").focus();
    $("link").select();
  }
}

/** Takes away what was said of a link that is no longer that of the page. */
export function forgetLink() {
  $("copied-text").textContent = "";
  $("link").hidden = true;
}
