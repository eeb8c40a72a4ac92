// The module that anywidget loads: `initialize` owns the connection of one model, `render` owns one view's DOM.
import { Session } from "./state";
import type { Model } from "./types";
import { mount } from "./view";

interface Context {
  model: Model;
}
interface View extends Context {
  el: HTMLElement;
}

/** One widget definition; its session is shared by the views of one model. */
function define() {
  const sessions = new WeakMap<Model, Session>();
  let latest: Session | null = null;

  function initialize({ model }: Context): () => void {
    const session = new Session(model);
    sessions.set(model, session);
    latest = session;
    return () => {
      session.close();
      sessions.delete(model);
      if (latest === session) latest = null;
    };
  }

  // anywidget hands `render` another wrapper of the same model, but calls the definition once a model: then `latest` is the one.
  function render({ model, el }: View, single: boolean): () => void {
    const known = sessions.get(model) ?? (single ? latest : null);
    const session = known ?? new Session(model);
    const unmount = mount(session, el);
    return () => {
      unmount();
      if (!known) session.close();
    };
  }
  return { initialize, render };
}

const shared = define();

/** anywidget calls the default export once a model; other hosts use its `initialize` and `render` with one model object. */
export default Object.assign(
  () => {
    const own = define();
    return { initialize: own.initialize, render: (view: View) => own.render(view, true) };
  },
  { initialize: shared.initialize, render: (view: View) => shared.render(view, false) },
);
