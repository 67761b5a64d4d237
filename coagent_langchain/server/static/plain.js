// Pages without a list or a session: only help, theme and local times.
import { localTimes, onKeys } from "./page.js";

onKeys(new Map());
localTimes();
