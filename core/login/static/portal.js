// Only adds: without it the search form works.
const search = document.getElementById("search");
if (search && !search.value) {
  const empty = document.querySelector(".empty");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let any = false;
    for (const section of document.querySelectorAll("main section")) {
      const heading = section.querySelector("h2")?.textContent ?? "";
      let shown = false;
      for (const tile of section.querySelectorAll(".tiles > li")) {
        const text = (heading + " " + tile.textContent).toLowerCase();
        tile.hidden = !words.every((word) => text.includes(word));
        shown ||= !tile.hidden;
      }
      section.hidden = !shown;
      any ||= shown;
    }
    empty.hidden = any;
    if (!any) empty.textContent = "No application fits.";
  });
}
