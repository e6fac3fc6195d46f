"use strict";
// The one script of Sealift's pages. It shows what is in the page already: it loads nothing, sends nothing, stores
// nothing, and puts text into the page as text only (textContent), never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const MOST_FOUND = 200;

  document.documentElement.classList.add("scripted");

  // Data blocks are read when they are first needed, and once.
  const read = new Map();
  const block = (id) => {
    if (!read.has(id)) read.set(id, JSON.parse(byId(id).textContent));
    return read.get(id);
  };

  // Rows of tables. Each is in the page once, however many tables have it, and so is each cell.
  const tables = new Map();
  const drawn = new Map();
  const pooled = (place) => {
    const pool = block("row-pool");
    if (!drawn.has(place)) drawn.set(place, pool.rows[place].map((cell) => pool.cells[cell]));
    return drawn.get(place);
  };
  const rowsOf = (number) => {
    if (!tables.has(number)) tables.set(number, JSON.parse(byId(`packages-${number}`).textContent).map(pooled));
    return tables.get(number);
  };

  // Worst first. What is not known stands behind high ones, as it counts.
  const SEVERITIES = ["critical", "high", "unknown", "medium", "low", "none"];
  const firstWord = (text) => text.split(" ")[0];

  const cell = (tag, text, kind) => {
    const made = document.createElement(tag);
    const shown = text === "" || text === null ? "–" : text;
    if (tag === "th") made.scope = "row";
    if (kind === "severity" && SEVERITIES.includes(firstWord(text))) {
      const badge = document.createElement("span");
      badge.className = `severity ${firstWord(text)}`;
      badge.textContent = shown;
      made.append(badge);
    } else {
      made.textContent = shown;
      if (kind) made.className = kind;
    }
    return made;
  };

  // How a column is ordered, rising. Numbers that nobody knows stand behind all others, worse severities before others.
  const orders = {
    "": (a, b) => collator.compare(a, b),
    right: (a, b) => (a ?? Infinity) - (b ?? Infinity) || 0,
    severity: (a, b) => SEVERITIES.indexOf(firstWord(a)) - SEVERITIES.indexOf(firstWord(b)) || collator.compare(b, a),
  };

  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (row, wanted) => {
    const text = row.join("\n").toLowerCase();
    return wanted.every((word) => text.includes(word));
  };

  // Typing waits for a pause, so that long lists stay quick.
  const afterPause = (work) => {
    let waiting = 0;
    return () => {
      clearTimeout(waiting);
      waiting = setTimeout(work, 120);
    };
  };

  // One table of packages: search, order, pages.
  const packages = (section) => {
    const search = section.querySelector(".package-search");
    const choice = section.querySelector(".package-rows");
    const status = section.querySelector(".package-status");
    const place = section.querySelector(".package-page");
    const back = section.querySelector(".package-back");
    const on = section.querySelector(".package-on");
    const pager = section.querySelector(".pager");
    const body = section.querySelector("tbody");
    const heads = [...section.querySelectorAll("thead th")];
    const kinds = heads.map((head) => head.dataset.kind || "");
    let all = null, shown = null, page = 0, falling = false;
    let column = Math.max(0, heads.findIndex((head) => head.hasAttribute("aria-sort")));

    const load = () => {
      if (all === null) all = shown = rowsOf(Number(section.dataset.packages));
    };

    const draw = () => {
      const size = Number(choice.value) || Math.max(shown.length, 1);
      const pages = Math.max(1, Math.ceil(shown.length / size));
      page = Math.min(page, pages - 1);
      const rows = shown.slice(page * size, (page + 1) * size);
      const made = document.createDocumentFragment();
      for (const row of rows) {
        const line = document.createElement("tr");
        line.append(...row.map((text, number) => cell(number ? "td" : "th", text, kinds[number])));
        made.append(line);
      }
      body.replaceChildren(made);
      const from = rows.length ? page * size + 1 : 0;
      const of = shown.length === all.length ? "" : `, ${all.length} in all`;
      status.textContent = shown.length ? `${from} to ${from + rows.length - 1} of ${shown.length}${of}` : `none of ${all.length}`;
      place.textContent = `Page ${page + 1} of ${pages}`;
      back.disabled = page === 0;
      on.disabled = page >= pages - 1;
      pager.hidden = pages === 1;
    };

    const arrange = () => {
      load();
      const wanted = words(search.value);
      shown = wanted.length ? all.filter((row) => holds(row, wanted)) : all.slice();
      const sign = falling ? -1 : 1;
      const order = orders[kinds[column]] || orders[""];
      shown.sort((a, b) => sign * (order(a[column], b[column]) || collator.compare(a[0], b[0])));
      heads.forEach((head, number) => {
        if (number === column) head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      page = 0;
      draw();
    };

    heads.forEach((head, number) => {
      const button = head.firstElementChild;
      button.disabled = false;
      button.addEventListener("click", () => {
        falling = number === column && !falling;
        column = number;
        arrange();
      });
    });
    search.addEventListener("input", afterPause(arrange));
    choice.addEventListener("change", () => { load(); page = 0; draw(); });
    const turn = (by) => { load(); page += by; draw(); };
    back.addEventListener("click", () => turn(-1));
    on.addEventListener("click", () => turn(1));

    // The first rows are there; what is behind them is read when somebody looks.
    const begin = () => { arrange(); };
    const around = section.closest("details");
    if (!around || around.open) begin();
    else around.addEventListener("toggle", begin, { once: true });
  };
  document.querySelectorAll("[data-packages]").forEach(packages);

  // A table that is whole in the page: its rows change places. Numbers begin with the largest.
  const sortable = (table) => {
    const body = table.tBodies[0];
    const heads = [...table.querySelectorAll("thead th")];
    const value = (line, number) => {
      const place = line.cells[number];
      return "value" in place.dataset ? place.dataset.value : place.textContent.trim();
    };
    heads.forEach((head, number) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.disabled = false;
      button.addEventListener("click", () => {
        const numbers = head.dataset.kind === "right";
        const before = head.getAttribute("aria-sort");
        const falling = before === null ? numbers : before === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const unknown = falling ? -Infinity : Infinity;
        const key = (line) => (numbers ? (value(line, number) === "" ? unknown : Number(value(line, number))) : value(line, number));
        const compare = (a, b) => (numbers ? Math.sign(a - b) || 0 : collator.compare(a, b));
        const lines = [...body.rows];
        lines.sort((a, b) => (falling ? -1 : 1) * compare(key(a), key(b)) || collator.compare(a.cells[0].textContent, b.cells[0].textContent));
        body.append(...lines);
      });
    });
  };
  document.querySelectorAll("table.sortable").forEach(sortable);

  // The search over all images.
  const find = byId("find-text");
  if (find) {
    const region = byId("find-package").querySelector(".scroll");
    const body = region.querySelector("tbody");
    find.addEventListener("input", afterPause(() => {
      const wanted = words(find.value);
      const made = document.createDocumentFragment();
      let found = 0;
      if (wanted.length) {
        for (const sbom of block("find-index")) {
          for (const row of rowsOf(sbom.block)) {
            if (!holds(row, wanted)) continue;
            found += 1;
            if (found > MOST_FOUND) continue;
            const line = document.createElement("tr");
            const link = document.createElement("a");
            link.href = `#image-${sbom.image}`;
            link.textContent = sbom.name;
            const image = document.createElement("td");
            image.append(link);
            line.append(cell("th", row[0]), cell("td", row[1]), cell("td", row[2]), image, cell("td", sbom.platforms));
            made.append(line);
          }
        }
      }
      body.replaceChildren(made);
      region.hidden = found === 0;
      const more = found > MOST_FOUND ? `; the first ${MOST_FOUND} are shown` : "";
      byId("find-status").textContent = wanted.length ? `${found || "none"} found${more}` : "";
    }));
  }

  // The list of images: by text, and only those not verified.
  const filter = byId("image-filter");
  if (filter) {
    const lines = [...document.querySelectorAll("#image-table tbody tr")];
    const texts = lines.map((line) => line.textContent.toLowerCase());
    const refused = byId("image-refused");
    const apply = () => {
      const wanted = words(filter.value);
      let left = 0;
      lines.forEach((line, number) => {
        const fits = wanted.every((word) => texts[number].includes(word))
          && (!refused.checked || line.hasAttribute("data-refused"));
        line.hidden = !fits;
        const article = byId(`image-${line.dataset.image}`);
        if (article) article.hidden = !fits;
        left += fits;
      });
      byId("image-status").textContent = left === lines.length ? `${left} images` : `${left} of ${lines.length} images`;
    };
    filter.addEventListener("input", afterPause(apply));
    refused.addEventListener("change", apply);
    apply();
  }

  // A link to an image opens it.
  const openTarget = () => {
    const target = /^#[a-z0-9-]+$/.test(location.hash) ? byId(location.hash.slice(1)) : null;
    if (!target) return;
    const inside = target.querySelector(":scope > details");
    if (!inside) return;
    target.hidden = false;
    inside.open = true;
    inside.querySelector("summary").focus({ preventScroll: true });
    target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  openTarget();

  // On paper every image is open, with those of its parts that the reader has opened; afterwards all is as it was.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll(".image > details:not([open])")];
    closed.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => {
    closed.forEach((part) => { part.open = false; });
    closed = [];
  });
})();
