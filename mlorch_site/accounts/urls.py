"""Addresses of sign-in, of a person's own pages, and of people."""

from django.urls import path

from mlorch_site.accounts.views import people, second_factors, sessions, sign_on

urlpatterns = [
    path("sign-in/", sessions.sign_in, name="sign-in"),
    path("sign-in/factor/", second_factors.sign_in_factor, name="sign-in-factor"),
    path("sign-in/passkey/", second_factors.sign_in_passkey, name="sign-in-passkey"),
    path("sign-in/passkey/question/", second_factors.passkey_question, name="passkey-question"),
    path("sign-on/<slug:slug>/", sign_on.sign_on, name="sign-on"),
    path("sign-on/<slug:slug>/back/", sign_on.sign_on_back, name="sign-on-back"),
    path("sign-on/<slug:slug>/ended/", sign_on.sign_on_ended, name="sign-on-ended"),
    path("sign-on/<slug:slug>/prove/", sign_on.prove_by_issuer, name="prove-by-issuer"),
    path("proved/", sign_on.proved, name="proved"),
    path("security/", second_factors.security, name="security"),
    path("security/prove/", second_factors.prove, name="prove"),
    path("security/app/", second_factors.app_set_up, name="app-set-up"),
    path("security/codes/", second_factors.codes_make, name="codes-make"),
    path("security/passkeys/", second_factors.passkey_add, name="passkey-add"),
    path("security/passkeys/options/", second_factors.passkey_options, name="passkey-options"),
    path("security/factors/<int:number>/name/", second_factors.passkey_name, name="passkey-name"),
    path("security/factors/<int:number>/remove/", second_factors.factor_end, name="factor-end"),
    path("security/sessions/end/", second_factors.sessions_close, name="sessions-close"),
    path("security/sessions/<int:number>/end/", second_factors.session_close, name="session-close"),
    path("sign-out/", sessions.sign_out, name="sign-out"),
    path("tokens/", sessions.tokens, name="tokens"),
    path("tokens/<uuid:pk>/revoke/", sessions.token_end, name="token-revoke"),
    path("password/", sessions.password, name="password"),
    path("preferences/", sessions.preferences, name="preferences"),
    path("access/", people.own_access, name="access"),
    path("access/review.csv", people.access_review_csv, name="access-review-csv"),
    path("access/review.json", people.access_review_json, name="access-review-json"),
    path("access/scopes/", people.scopes_found, name="scopes-found"),
    path("people/", people.people, name="people"),
    path("people/<str:name>/", people.person_access, name="person"),
    path("people/<str:name>/give/", people.role_give, name="role-give"),
    path("people/<str:name>/bindings/<int:number>/", people.binding, name="binding"),
    path("people/<str:name>/bindings/<int:number>/extend/", people.binding_extend, name="binding-extend"),
    path("people/<str:name>/bindings/<int:number>/end/", people.binding_end, name="binding-end"),
]
