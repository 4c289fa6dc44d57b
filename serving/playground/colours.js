// The page's colours, as they are now, for what is drawn.
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const axisColours = () => ({ stroke: colour("--text"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } });
