// What the pages of Great Expectations ask of jQuery, Bootstrap and bootstrap-table, and no more.
(function () {
  class Found {
    constructor(elements) { this.elements = elements; }
    each(act) { this.elements.forEach((element, place) => act(place, element)); return this; }
    parent() { return new Found(this.elements.map((element) => element.parentElement).filter(Boolean)); }
    show(yes) { this.elements.forEach((element) => { element.style.display = yes ? "" : "none"; }); return this; }
    fadeIn() { return this.show(true); }
    fadeOut() { return this.show(false); }
    modal() { return this; }
    data(name) { return this.elements[0] && this.elements[0].dataset[name]; }
    on() { return this; }
    ready(act) { document.addEventListener("DOMContentLoaded", act); return this; }
    bootstrapTable(options) { if (options && options.columns) { this.elements.forEach((table) => fill(table, options)); } return this; }
  }
  function fill(table, { columns, data, sortName, sortOrder }) {
    const key = (columns.find((column) => column.field === sortName) || {}).sortName || sortName;
    const down = sortOrder === "desc" ? -1 : 1;
    const rows = [...data].sort((a, b) => down * (a[key] > b[key] ? 1 : a[key] < b[key] ? -1 : 0));
    const head = table.createTHead().insertRow();
    columns.forEach((column) => { head.appendChild(document.createElement("th")).textContent = column.title; });
    const body = table.createTBody();
    rows.forEach((row) => {
      const line = body.insertRow();
      columns.forEach((column) => { line.insertCell().innerHTML = row[column.field] === undefined ? "" : row[column.field]; });
      line.className = "clickable-row";
      line.addEventListener("click", (event) => { if (!event.target.closest("a")) { location.href = row._table_row_link_path; } });
    });
  }
  window.$ = (what) => new Found(typeof what === "string" ? [...document.querySelectorAll(what)] : [what]);
  document.addEventListener("click", (event) => {
    const toggle = event.target.closest('[data-toggle="tab"], [data-toggle="collapse"]');
    const button = event.target.closest('[data-toggle="buttons"] .btn');
    if (button) {
      button.parentElement.querySelectorAll(".btn").forEach((other) => other.classList.toggle("active", other === button));
    }
    if (!toggle) { return; }
    event.preventDefault();
    const target = document.getElementById(toggle.getAttribute("href").slice(1));
    if (toggle.dataset.toggle === "collapse") { target.classList.toggle("show"); return; }
    [...target.parentElement.children].forEach((pane) => pane.classList.toggle("active", pane === target));
    toggle.closest(".nav").querySelectorAll(".nav-link").forEach((link) => link.classList.toggle("active", link === toggle));
  });
})();
