// A page with the display over made-up data: ?net=lenet|vgg|resnet&theme=...&views=2&collected=0&nolabels&ranked
import widget from "../src/index";
import { FakeModel } from "./fake";
import { fakeKernel, traitsFor } from "./kernel";

const query = new URLSearchParams(location.search);
const net = query.get("net") ?? "lenet";
const options = { collected: query.get("collected") !== "0", labels: !query.has("nolabels"), ranked: query.has("ranked"), theme: query.get("theme") ?? "auto" };
const model = new FakeModel(traitsFor(net, options), (message, answer) => kernel(message, answer));
const kernel = fakeKernel(net, model, options);
(window as any).model = model;
widget.initialize({ model });
for (let k = 0; k < Number(query.get("views") ?? 1); k++) {
  const el = document.createElement("div");
  document.body.append(el);
  widget.render({ model, el });
}
