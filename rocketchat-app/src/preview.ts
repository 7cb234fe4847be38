import { ISlashCommandPreviewItem, SlashCommandPreviewItemType } from '@rocket.chat/apps-engine/definition/slashcommands';

import commands from './commands.json';

/** More than these Rocket.Chat shows nobody. */
const MOST = 10;

/**
 * The commands that what somebody has typed so far may become. None once the command is
 * whole: then what they typed is what they get.
 */
export function fitting(typed: string): ISlashCommandPreviewItem[] {
    const name = typed.trimStart().toLowerCase();
    if (/\s/.test(name) || commands.some((command) => command.name === name)) {
        return [];
    }
    return commands
        .filter((command) => command.name.startsWith(name))
        .slice(0, MOST)
        .map((command) => ({
            id: command.name,
            type: SlashCommandPreviewItemType.TEXT,
            value: `/matrix ${command.name} ${command.arguments}`.trim(),
        }));
}

/**
 * What a chosen line asks for. A command that only shows something is given; of others the
 * use is shown, because nothing may be done by half a word.
 */
export function chosen(id: string, typed: string): string {
    const command = commands.find((one) => one.name === id);
    if (!command) {
        return typed;
    }
    return command.shows ? command.name : `help ${command.name}`;
}
