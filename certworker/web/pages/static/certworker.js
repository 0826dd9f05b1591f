// Everything works without this file. It adds the local time to each time, loads slow sections, and refreshes
// the page.
"use strict";

(() => {
  const LONGEST_PAUSE_SECONDS = 120;

  const main = () => document.querySelector("main");
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

  function addLocalTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (!Number.isNaN(moment.getTime())) {
        time.title = format.format(moment);
      }
    }
  }

  async function mainOf(url, signal) {
    const answer = await fetch(url, { cache: "no-store", signal });
    // If the session has ended, the response redirects to the login.
    if (!answer.ok || answer.redirected) {
      throw new Error(String(answer.status));
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector("main");
    if (!found) {
      throw new Error("no content");
    }
    return found;
  }

  // Sections that take seconds, such as queries to name servers, are loaded once.
  async function loadSections() {
    for (const section of main().querySelectorAll("[data-load]")) {
      section.setAttribute("aria-busy", "true");
      try {
        const found = await mainOf(section.dataset.load, AbortSignal.timeout(60000));
        section.replaceChildren(...found.querySelector(`#${section.id}`).childNodes);
        delete section.dataset.load;
        addLocalTimes(section);
      } catch {
        // The section still has its link.
      }
      section.removeAttribute("aria-busy");
    }
  }

  // A refresh replaces the content, unless the user is using it.
  const path = (element) => {
    const same = `${element.localName}${element.id ? `#${element.id}` : ""}`;
    const target = element.getAttribute("href") ?? element.getAttribute("name") ?? "";
    const value = element.getAttribute("value") ?? "";
    return [same, target, value].join("|");
  };

  function isInUse() {
    const selection = document.getSelection();
    const active = document.activeElement;
    const selecting = selection && !selection.isCollapsed && main().contains(selection.anchorNode);
    const typing = main().contains(active) && active.matches("input, select, textarea");
    const changed = [...main().querySelectorAll("input, select")].some((field) =>
      field.localName === "select"
        ? [...field.options].some((option) => option.selected !== option.defaultSelected) &&
          [...field.options].some((option) => option.defaultSelected)
        : field.type !== "hidden" && field.value !== field.defaultValue,
    );
    return selecting || typing || changed;
  }

  function replaceContent(fresh) {
    const old = main();
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const focused = active && path(active);
    const place = active && [...old.querySelectorAll(active.localName)].filter((each) => path(each) === focused).indexOf(active);
    for (const details of old.querySelectorAll("details[id]")) {
      const same = fresh.querySelector(`#${details.id}`);
      if (same) {
        same.open = details.open;
      }
    }
    const scrolled = [...old.querySelectorAll("[id]")].filter((each) => each.scrollTop || each.scrollLeft);
    const positions = scrolled.map((each) => [each.id, each.scrollLeft, each.scrollTop]);
    for (const kept of old.querySelectorAll("[data-keep]")) {
      fresh.querySelector(`#${kept.id}`)?.replaceWith(kept);
    }
    addLocalTimes(fresh);
    old.replaceChildren(...fresh.childNodes);
    for (const [id, left, top] of positions) {
      document.getElementById(id)?.scrollTo(left, top);
    }
    if (active && !active.isConnected) {
      const candidates = [...old.querySelectorAll(active.localName)].filter((each) => path(each) === focused);
      candidates[place]?.focus({ preventScroll: true });
    }
  }

  function startRefresh(seconds) {
    const button = document.getElementById("refresh");
    const status = document.getElementById("refresh-status");
    let pause = seconds;
    let stopped = false;
    let timer = 0;
    let running = null;

    const schedule = () => {
      clearTimeout(timer);
      if (!stopped && !document.hidden) {
        timer = setTimeout(refresh, pause * 1000);
      }
    };

    async function refresh() {
      if (!isInUse()) {
        running = new AbortController();
        try {
          const fresh = await mainOf(location.href, running.signal);
          if (!isInUse()) {
            replaceContent(fresh);
          }
          pause = seconds;
          if (status.textContent) {
            status.textContent = "";
          }
        } catch (error) {
          if (error.name !== "AbortError") {
            pause = Math.min(2 * pause, LONGEST_PAUSE_SECONDS);
            // A screen reader reads the text only when it changes.
            const text = "No answer: this page may be out of date.";
            if (status.textContent !== text) {
              status.textContent = text;
            }
          }
        }
        running = null;
      }
      schedule();
    }

    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        clearTimeout(timer);
        running?.abort();
      } else if (!stopped) {
        refresh();
      }
    });
    button.hidden = false;
    button.addEventListener("click", () => {
      stopped = !stopped;
      button.textContent = stopped ? "Resume the refresh" : "Pause the refresh";
      running?.abort();
      schedule();
    });
    schedule();
  }

  addLocalTimes(document);
  loadSections();
  const seconds = Number(main().dataset.refresh);
  if (seconds > 0) {
    startRefresh(seconds);
  }
})();
