// The shapes that the page's modules share: what the API sends, and the state of the page. Read by `tsc --checkJs` only.

export type Point = [number, number];
export type Box = [number, number, number, number];
export interface Rle { size: Point; counts: string }

export interface ApiMask {
  segmentation: Rle;
  bbox: Box;
  area: number;
  predicted_iou: number;
  stability_score: number;
}

export interface Decode { page?: number | null; channels?: number[] | null; scaling?: string | null; range?: Point | null; low?: number[] | number | null; high?: number[] | number | null }

export interface Scale { pixel_size: number; unit: string }

export interface FilterRule { property: string; min?: number | null; max?: number | null; group?: string | null }

export interface GroupRule { by: string[]; method: string; count?: number | "auto"; thresholds?: number[]; names?: string[] }

export interface Rules {
  background?: string | null;
  clean?: { holes?: number; islands?: number } | null;
  edge?: { margin?: number; action?: string } | null;
  parts?: { max_distance?: number } | null;
  duplicates?: { measure?: string; threshold?: number; keep?: string } | null;
  filters?: FilterRule[] | null;
  nesting?: { threshold?: number } | null;
  groups?: GroupRule | null;
  monodisperse?: { max_ratio?: number[] } | null;
}

export type Measurements = Record<string, number | null | Record<string, number | null>[]>;

export interface ApiObject {
  id: number;
  segmentation: Rle;
  bbox: Box;
  centroid: Point;
  group: string | null;
  label: string | null;
  parent: number | null;
  children: number[];
  depth: number;
  touches_edge: boolean;
  predicted_iou: number | null;
  stability_score: number | null;
  measurements: Measurements;
  measurements_px?: Measurements;
}

export interface Analysis {
  image_id: string;
  size: Point;
  scale: Scale | null;
  objects: ApiObject[];
  groups: { name: string; count: number; share: number; statistics: Record<string, Statistics> }[];
  summary: Record<string, unknown>;
  dropped: { rule: string; count: number }[];
  rules: Rules;
}

export interface Statistics { count: number; mean: number; median: number; std: number | null; cv: number | null; min: number; max: number; d10: number; d50: number; d90: number }

/** A mask that the page holds: decoded once, drawn and hit-tested from then on. */
export interface Region {
  rle: Rle;
  /** Cumulative run lengths in column order; the runs with odd index are inside. */
  ends: Int32Array;
  /** x, y, width, height. */
  bbox: Box;
  area: number;
}

/** An object of the list. */
export interface Item {
  key: number;
  name: string;
  region: Region;
  iou: number | null;
  stability: number | null;
  source: "click" | "everything" | "analysis";
  group: string | null;
  measured: ApiObject | null;
}

export interface PromptPoint { x: number; y: number; label: 0 | 1 }

export interface Prompt { points: PromptPoint[]; box: Box | null }

export interface Candidate { region: Region; iou: number; stability: number }

/** What undo and redo restore. Never changed in place. */
export interface Doc {
  prompt: Prompt;
  candidates: Candidate[];
  chosen: number;
  items: Item[];
  /** The objects before the analysis: what the next one starts from. */
  sources: Item[];
  hidden: ReadonlySet<number>;
  /** The answer that the items come from, without its objects; null while they are not measured. */
  analysis: Omit<Analysis, "objects"> | null;
  rules: Rules;
  preset: string;
  scale: Scale | "file" | null;
  /** Parameters of the run that the items come from, or null where any was kept by hand. */
  automatic: Record<string, unknown> | null;
}

export interface Look { fill: boolean; outline: boolean; opacity: number; cutout: boolean }

export type Tool = "click" | "box" | "move";
