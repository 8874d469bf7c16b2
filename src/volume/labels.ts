/**
 * How much of each label there is.
 */
import { type LabelMap, voxelVolumeMl } from './volume.ts';

export interface LabelVolume {
  readonly value: number;
  readonly name: string;
  readonly voxels: number;
  readonly volumeMl: number;
}

/**
 * Voxels and volume of every label but the background (0), by value: of the named ones, also where there is no voxel, and
 * of values that have no name.
 */
export function labelVolumes(map: LabelMap): LabelVolume[] {
  const counts = new Map<number, number>([...map.labels.keys()].map((value) => [value, 0]));
  for (const value of map.data) counts.set(value, (counts.get(value) ?? 0) + 1);
  const each = voxelVolumeMl(map);
  return [...counts]
    .filter(([value]) => value !== 0)
    .sort(([a], [b]) => a - b)
    .map(([value, voxels]) => ({
      value,
      name: map.labels.get(value) ?? `label ${value}`,
      voxels,
      volumeMl: voxels * each,
    }));
}
