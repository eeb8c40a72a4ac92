// World to screen and back. Screen = world * scale + offset, in CSS pixels of the canvas.

export interface Camera {
  scale: number;
  x: number;
  y: number;
}
export interface Margins {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export const toScreen = (camera: Camera, x: number, y: number): [number, number] => [x * camera.scale + camera.x, y * camera.scale + camera.y];
export const toWorld = (camera: Camera, x: number, y: number): [number, number] => [(x - camera.x) / camera.scale, (y - camera.y) / camera.scale];

export function fit(world: { width: number; height: number }, view: { width: number; height: number }, margins: Margins): Camera {
  const width = Math.max(40, view.width - margins.left - margins.right);
  const height = Math.max(40, view.height - margins.top - margins.bottom);
  const scale = Math.min(width / world.width, height / world.height);
  return { scale, x: margins.left + (width - world.width * scale) / 2, y: margins.top + (height - world.height * scale) / 2 };
}

/** Zoom by a factor with the world point under (x, y) staying where it is. */
export function zoomAt(camera: Camera, factor: number, x: number, y: number, limits: [number, number]): Camera {
  const scale = Math.min(limits[1], Math.max(limits[0], camera.scale * factor));
  const ratio = scale / camera.scale;
  return { scale, x: x - (x - camera.x) * ratio, y: y - (y - camera.y) * ratio };
}
