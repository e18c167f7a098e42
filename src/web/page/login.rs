//! Where a person trades a token for a session.

use axum::extract::State;
use axum::response::Response;
use maud::html;

use crate::web::asker::Asker;
use crate::web::routes::Web;

use super::layout::Page;

pub(super) async fn get(State(web): State<Web>, asker: Asker) -> Response {
    let content = html! {
        h1 { "Log in" }
        @if web.head.registrar.is_none() {
            p { "This head lets in everybody on its machine: " a href="/" { "to the jobs" } }
        } @else {
            form #login {
                label { "Token"
                    textarea name="token" required autocomplete="off" spellcheck="false" maxlength="2048" {}
                }
                div.verbs { button.main type="submit" { "Log in" } }
            }
            p.faint { "An admin makes one: " code { "millpond token create --role submitter --name YOU" } }
            p.faint { "Admins make the first one for themselves, with " code { "--role admin" } }
        }
    };
    Page { title: "Log in".into(), place: "", live: None, content }.response(&web, &asker)
}
