import { IConfigurationExtend } from '@rocket.chat/apps-engine/definition/accessors';
import { App } from '@rocket.chat/apps-engine/definition/App';

import { MatrixCommand } from './MatrixCommand';
import { settings } from './settings';

/** The App: one command, and the two settings that it needs to reach the bridge. */
export class MatrixApp extends App {
    protected async extendConfiguration(configuration: IConfigurationExtend): Promise<void> {
        for (const setting of settings) {
            await configuration.settings.provideSetting(setting);
        }
        await configuration.slashCommands.provideSlashCommand(new MatrixCommand(this.getID()));
    }
}
