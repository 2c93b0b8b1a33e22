"use strict";
(() => {
  const tools = document.getElementById("tools");
  const turn = document.getElementById("turn");
  const sections = [...document.querySelectorAll("main section")];
  const films = [...document.querySelectorAll(".film")];
  const choosers = ["state", "kind", "preset"].filter((name) => name in tools.elements);
  const inWords = new Intl.Collator("en", { numeric: true });

  const isWanted = (film) => {
    const words = tools.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = (name) => [""].concat("=" + film.dataset[name]).includes(tools.elements[name].value);
    return choosers.every(chosen) && words.every((word) => film.dataset.text.includes(word));
  };

  const filter = () => {
    for (const film of films) {
      film.hidden = !isWanted(film);
      if (film.hidden) film.querySelector("video")?.pause();
    }
    for (const section of sections) {
      const shown = section.querySelectorAll(".film:not([hidden])").length;
      section.hidden = shown === 0;
      section.querySelector("h2 span").textContent = shown;
    }
    const count = films.filter((film) => !film.hidden).length;
    const all = films.length === 1 ? "1 film" : `${films.length} films`;
    document.getElementById("shown").textContent = count === films.length ? all : `${count} of ${all}`;
    document.getElementById("nothing").hidden = count > 0;
  };

  const sort = () => {
    const [, down, key] = tools.elements.sort.value.match(/^(-?)(.*)$/);
    const way = (down === "-") !== (turn.getAttribute("aria-pressed") === "true") ? -1 : 1;
    const place = (film) => Number(film.dataset.order);
    const compare = (a, b) => {
      const [x, y] = [a.dataset[key], b.dataset[key]];
      if (key === "name") return way * inWords.compare(x, y);
      if (x === "" || y === "") return (x === "") - (y === "") || place(a) - place(b); // What is not known comes last.
      return way * (Number(x) - Number(y)) || place(a) - place(b);
    };
    for (const section of sections) section.querySelector("ul").append(...films.filter((f) => section.contains(f)).sort(compare));
  };

  // The choice is kept in the address, so that loading the page again, while the batch goes on, shows the same films.
  const keep = () => {
    const kept = new URLSearchParams();
    for (const field of tools.elements) if (field.name && field.value && field.value !== "order") kept.set(field.name, field.value);
    if (turn.getAttribute("aria-pressed") === "true") kept.set("reverse", "1");
    history.replaceState(null, "", kept.size ? "#" + kept : location.pathname + location.search);
  };

  const recall = () => {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const field of tools.elements) {
      if (!field.name) continue;
      field.value = kept.get(field.name) ?? (field.name === "sort" ? "order" : "");
      if (field.selectedIndex === -1) field.selectedIndex = 0;
    }
    turn.setAttribute("aria-pressed", String(kept.has("reverse")));
    sort();
    filter();
  };

  tools.addEventListener("input", (event) => {
    if (event.target.name === "sort") sort();
    filter();
    keep();
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  turn.addEventListener("click", () => {
    turn.setAttribute("aria-pressed", String(turn.getAttribute("aria-pressed") !== "true"));
    sort();
    keep();
  });
  document.getElementById("all").addEventListener("click", () => {
    history.replaceState(null, "", location.pathname + location.search);
    recall();
    tools.elements.q.focus();
  });
  addEventListener("hashchange", recall);

  // Films far down are not opened before they come near; those that go out of sight rest.
  const watch = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (isIntersecting && target.preload === "none") target.preload = "metadata";
      if (!isIntersecting && !document.fullscreenElement && document.pictureInPictureElement !== target) target.pause();
    }
  }, { rootMargin: "200px" });
  for (const video of document.querySelectorAll("video")) {
    const trouble = () => { video.nextElementSibling.hidden = false; };
    if (video.error) trouble();
    video.addEventListener("error", trouble);
    watch.observe(video);
  }

  recall();
})();
