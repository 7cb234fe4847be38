import { IHttp, IModify, IRead } from '@rocket.chat/apps-engine/definition/accessors';
import { ISlashCommand, ISlashCommandPreview, ISlashCommandPreviewItem, SlashCommandContext } from '@rocket.chat/apps-engine/definition/slashcommands';

import { ask } from './bridge';
import { chosen, fitting } from './preview';
import { BRIDGE_URL, SECRET } from './settings';

const NOT_SET_UP =
    'This App does not know its bridge yet: an administrator must give it an address and a secret, in the settings of the App "Matrix bridge".';

/** `/matrix …`: what the bridge does with it is the bridge's; the answer is for the caller alone. */
export class MatrixCommand implements ISlashCommand {
    public command = 'matrix';
    public i18nParamsExample = 'params_example';
    public i18nDescription = 'description';
    public providesPreview = true;

    constructor(private readonly appId: string) {}

    public async executor(context: SlashCommandContext, read: IRead, modify: IModify, http: IHttp): Promise<void> {
        await this.give(typed(context), context, read, modify, http);
    }

    /** The commands that fit, while somebody types. Nobody is asked for that. */
    public async previewer(context: SlashCommandContext): Promise<ISlashCommandPreview> {
        // Clients look this up as it stands, among texts that the server has named after their App.
        return { i18nTitle: `app-${this.appId}.description`, items: fitting(typed(context)) };
    }

    public async executePreviewItem(item: ISlashCommandPreviewItem, context: SlashCommandContext, read: IRead, modify: IModify, http: IHttp): Promise<void> {
        await this.give(chosen(item.id, typed(context)), context, read, modify, http);
    }

    private async give(words: string, context: SlashCommandContext, read: IRead, modify: IModify, http: IHttp): Promise<void> {
        const [sender, room, thread] = [context.getSender(), context.getRoom(), context.getThreadId()];
        const settings = read.getEnvironmentReader().getSettings();
        const url = await settings.getValueById(BRIDGE_URL);
        const secret = await settings.getValueById(SECRET);
        const answer =
            url && secret
                ? await ask(
                      http,
                      { url, secret },
                      {
                          user_id: sender.id,
                          username: sender.username,
                          room_id: room.id,
                          ...(thread ? { thread_id: thread } : {}),
                          words,
                      },
                  )
                : NOT_SET_UP;
        const message = modify.getCreator().startMessage().setRoom(room).setText(answer);
        const own = await read.getUserReader().getAppUser();
        if (own) {
            message.setSender(own);
        }
        if (thread) {
            message.setThreadId(thread);
        }
        await modify.getNotifier().notifyUser(sender, message.getMessage());
    }
}

function typed(context: SlashCommandContext): string {
    return context.getArguments().join(' ');
}
