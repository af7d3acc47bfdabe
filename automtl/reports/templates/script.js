
"use strict";
(() => {
  const inside = (event, what) => event.target instanceof Element ? event.target.closest(what) : null;

  function light(arch, task) {
    arch.dataset.lit = task;
    for (const part of arch.querySelectorAll("[data-tasks]")) {
      const on = task === "" || part.dataset.tasks.split(" ").includes(task);
      part.classList.toggle("off", !on);
    }
    for (const button of arch.querySelectorAll("[data-task]")) {
      button.setAttribute("aria-pressed", String(button.dataset.task === task && task !== ""));
    }
  }

  function tell(part) {
    const arch = part.closest(".arch"), tip = arch.querySelector(".tip");
    tip.replaceChildren(document.getElementById(part.dataset.info).content.cloneNode(true));
    tip.hidden = false;
    const at = part.getBoundingClientRect(), frame = arch.getBoundingClientRect();
    const left = Math.max(0, Math.min(at.left - frame.left, frame.width - tip.offsetWidth));
    const below = at.bottom - frame.top + 6, above = at.top - frame.top - tip.offsetHeight - 6;
    const room = at.bottom + tip.offsetHeight + 6 < window.innerHeight || above < 0;
    tip.style.left = left + "px";
    tip.style.top = (room ? below : above) + "px";
  }

  const hush = (arch) => { arch.querySelector(".tip").hidden = true; };

  document.addEventListener("click", (event) => {
    const info = inside(event, "[data-info]"), task = inside(event, "[data-task]");
    if (info) tell(info);
    else if (task) {
      const arch = task.closest(".arch");
      light(arch, arch.dataset.lit === task.dataset.task ? "" : task.dataset.task);
    } else if (!inside(event, ".tip")) document.querySelectorAll(".arch").forEach(hush);
  });
  document.addEventListener("mouseover", (event) => {
    const info = inside(event, "[data-info]");
    if (info) tell(info);
  });
  document.addEventListener("focusin", (event) => {
    const info = inside(event, "[data-info]");
    if (info) tell(info);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.querySelectorAll(".arch").forEach((arch) => { hush(arch); light(arch, ""); });
    const button = inside(event, "g[role=button]");
    if (button && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      button.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    }
  });
  document.querySelectorAll(".arch").forEach((arch) => arch.addEventListener("mouseleave", () => hush(arch)));

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((part) => { part.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
})();
