// The projects of Label Studio: their pictures, and the label config to write into one.

import { make } from "./picture_view.js";
import { get, post } from "./service.js";

const $ = (id) => document.getElementById(id);

/**
 * Fill the list of projects, and connect what belongs to a project.
 * @param {object} page - addFetched, complain, config() and use(project, label config) of the page
 */
export async function connectProjects(page) {
  let project = null;
  try {
    const listed = await get("try/projects");
    $("project").append(...listed.map((each) => make("option", { value: each.id }, `${each.id}: ${each.title}`)));
  } catch (error) {
    page.complain(error.message);
    return;
  }
  $("project").addEventListener("change", async () => {
    const chosen = $("project").value ? Number($("project").value) : null;
    $("project-pictures").hidden = true;
    project = null; // until its label config is here, so that no other one is written into it
    $("write").hidden = true;
    if (chosen === null) {
      await page.use(null, page.config());
      return;
    }
    try {
      const { label_config: text, pictures } = await get(`try/projects/${chosen}`);
      if ($("project").value !== String(chosen)) return; // another one was chosen meanwhile
      project = chosen;
      drawPictures(pictures);
      await page.use(project, text);
    } catch (error) {
      if ($("project").value === String(chosen)) $("project").value = "";
      await page.use(null, page.config());
      page.complain(error.message);
    }
  });

  function drawPictures(pictures) {
    const of = project;
    const buttons = pictures.map((each) => {
      const path = `try/projects/${of}/pictures/${each.task}/${each.image}`;
      const onclick = () => page.addFetched(`task ${each.task}`, path, {});
      return make("li", {}, make("button", { type: "button", onclick }, `Task ${each.task}: ${each.name}`));
    });
    $("project-pictures").querySelector("ul").replaceChildren(...buttons);
    $("project-pictures").hidden = false;
    $("project-pictures").open = true;
  }

  let written = {}; // what "Write" sends: the label config whose difference is shown, and where
  $("write").addEventListener("click", async () => {
    const [path, text] = [`try/projects/${project}/label-config`, page.config()];
    try {
      const shown = await post(path, { label_config: text });
      written = { project, path, body: { label_config: text, replaces: shown.current } };
      showDifference(shown.difference);
      $("write-dialog").showModal();
    } catch (error) {
      page.complain(error.message);
    }
  });
  $("write-now").addEventListener("click", async () => {
    $("write-now").disabled = true;
    try {
      await post(written.path, written.body);
      $("write-dialog").close();
      $("copied").textContent = `Written into project ${written.project}.`;
    } catch (error) {
      $("write-problem").textContent = error.message;
      $("write-problem").hidden = false;
    }
    $("write-now").disabled = false;
  });

  function showDifference(lines) {
    $("write-problem").hidden = true;
    $("write-now").hidden = lines.length === 0;
    $("write-about").textContent = lines.length
      ? `This replaces the label config of project ${project} in Label Studio. Lines with - go, lines with + come.`
      : `Project ${project} has this label config already.`;
    const kinds = { "+": "more", "-": "less" };
    $("difference").replaceChildren(
      ...lines.map((line) => make("span", { class: kinds[line[0]] ?? "" }, `${line}\n`)),
    );
  }
}
