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
    project = $("project").value ? Number($("project").value) : null;
    $("project-pictures").hidden = project === null;
    if (project === null) {
      await page.use(null, page.config());
      return;
    }
    try {
      const { label_config: text, pictures } = await get(`try/projects/${project}`);
      drawPictures(pictures);
      await page.use(project, text);
    } catch (error) {
      page.complain(error.message);
    }
  });

  function drawPictures(pictures) {
    const buttons = pictures.map((each) => {
      const path = `try/projects/${project}/pictures/${each.task}/${each.image}`;
      const onclick = () => page.addFetched(`task ${each.task}`, path, {});
      return make("li", {}, make("button", { type: "button", onclick }, `Task ${each.task}: ${each.name}`));
    });
    $("project-pictures").querySelector("ul").replaceChildren(...buttons);
    $("project-pictures").open = true;
  }

  let current = "";
  $("write").addEventListener("click", async () => {
    try {
      const shown = await post(`try/projects/${project}/label-config`, { label_config: page.config() });
      current = shown.current;
      showDifference(shown.difference);
      $("write-dialog").showModal();
    } catch (error) {
      page.complain(error.message);
    }
  });
  $("write-now").addEventListener("click", async () => {
    $("write-now").disabled = true;
    try {
      await post(`try/projects/${project}/label-config`, { label_config: page.config(), replaces: current });
      $("write-dialog").close();
      $("copied").textContent = `Written into project ${project}.`;
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
