"""Addresses of sign-in, of a person's own pages, and of people."""

from django.urls import path

from mlorch_site.accounts.views import absences, groups, people, sessions

urlpatterns = [
    path("sign-in/", sessions.sign_in, name="sign-in"),
    path("sign-out/", sessions.sign_out, name="sign-out"),
    path("tokens/", sessions.tokens, name="tokens"),
    path("tokens/<uuid:pk>/revoke/", sessions.token_end, name="token-revoke"),
    path("password/", sessions.password, name="password"),
    path("preferences/", sessions.preferences, name="preferences"),
    path("absences/", absences.absences, name="absences"),
    path("absences/<int:number>/end/", absences.absence_over, name="absence-end"),
    path("access/", people.own_access, name="access"),
    path("access/review.csv", people.access_review_csv, name="access-review-csv"),
    path("access/review.json", people.access_review_json, name="access-review-json"),
    path("access/scopes/", people.scopes_found, name="scopes-found"),
    path("groups/", groups.groups, name="groups"),
    path("groups/<str:name>/", groups.group, name="group"),
    path("groups/<str:name>/remove/", groups.group_remove, name="group-remove"),
    path("people/", people.people, name="people"),
    path("people/<str:name>/", people.person_access, name="person"),
    path("people/<str:name>/give/", people.role_give, name="role-give"),
    path("people/<str:name>/bindings/<int:number>/", people.binding, name="binding"),
    path("people/<str:name>/bindings/<int:number>/extend/", people.binding_extend, name="binding-extend"),
    path("people/<str:name>/bindings/<int:number>/end/", people.binding_end, name="binding-end"),
]
